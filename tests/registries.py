"""Registries for tests: SQLite in a folder, PostgreSQL in a cluster of the test process.

Tables are made once and copied for each test: to make them takes longer than most tests do.
"""

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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
        self._template = ""

    def new(self, upgraded: bool = False) -> str:
        """The url of a new database, or the reason to skip.

        :param upgraded: with the tables of a registry; else empty
        """
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
        if upgraded and not self._template:
            url = self._created("")
            _upgraded(url)
            self._template = url.rpartition("/")[2]
        return self._created(f"TEMPLATE {self._template}" if upgraded else "")

    def _created(self, how: str) -> str:
        name = f"registry{next(_NUMBERS)}"
        with psycopg.connect(f"{self._url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {how}")
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
    file = folder / "registry.sqlite3"
    if url is None and not file.exists():
        shutil.copy(_template(), file)
    made = Registry(url or f"sqlite:///{file}", folder / "secrets.key")
    made.upgrade()
    try:
        yield made
    finally:
        made.close()


@cache
def _template() -> Path:
    """An empty registry in SQLite."""
    folder = tempfile.mkdtemp(prefix="corpus-registry-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "registry.sqlite3"
    _upgraded(f"sqlite:///{path}")
    return path


def _upgraded(url: str) -> None:
    made = Registry(url, Path("/nonexistent"))
    made.upgrade()
    made.close()
