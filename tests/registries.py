"""Registries for tests: SQLite in a folder, PostgreSQL in a cluster of the test process."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from corpus.controller.registry.store import Registry

from tests.machine import run
from tests.servers import postgresql

_NUMBERS = itertools.count()


class Databases:
    """Makes empty PostgreSQL databases; the cluster starts with the first one."""

    def __init__(self) -> None:
        self._cluster = None
        self._url = ""

    def new(self) -> str:
        """The url of an empty database, or the reason to skip."""
        if os.geteuid() != 0:
            pytest.skip("PostgreSQL runs as its own user: needs root")
        if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
            pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
        if self._cluster is None:
            self._cluster = postgresql()
            admin = self._cluster.__enter__()
            host, port = (word.split("=")[1] for word in admin.split("?")[1].split("&"))
            made = run(
                [
                    *("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"),
                    *("psql", "-h", host, "-p", port, "-c", "CREATE ROLE corpus LOGIN SUPERUSER PASSWORD 'corpus'"),
                ]
            )
            assert made.status == 0, made.said
            self._url = f"postgresql://corpus:corpus@127.0.0.1:{port}"
        name = f"registry{next(_NUMBERS)}"
        with psycopg.connect(f"{self._url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self._url}/{name}"

    def stop(self) -> None:
        """End the cluster."""
        if self._cluster is not None:
            self._cluster.__exit__(None, None, None)


@contextmanager
def databases() -> Iterator[Databases]:
    """Databases until the block ends."""
    made = Databases()
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def registry_at(folder: Path, url: str | None = None) -> Iterator[Registry]:
    """An upgraded registry: SQLite in the folder, or at the url; its key is in the folder."""
    made = Registry(url or f"sqlite:///{folder}/registry.sqlite3", folder / "secrets.key")
    made.upgrade()
    try:
        yield made
    finally:
        made.close()
