"""SQLite: a file in the project's data."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from corpus import processes
from corpus.errors import CorpusError


class Sqlite:
    """The SQLite files of a project.

    :param data: the project's data, absolute
    :param user: who owns the files
    """

    def __init__(self, data: Path, user: str | None) -> None:
        self._data, self._user = data, user

    def _path(self, name: str) -> Path:
        return self._data / f"{name}.sqlite3"

    def exists(self, name: str, user: str) -> bool:
        """Nothing is there that is not the project's: an older file of that name is taken over."""
        return False

    def ensure(self, name: str, user: str, password: str, extensions: tuple[str, ...] = ()) -> list[str]:
        """Make the file when it is missing; return what was done, in words."""
        path = self._path(name)
        if path.exists():
            return []
        processes.run(["touch", "--", path], user=self._user, cwd="/")
        processes.run(["chmod", "0640", "--", path], user=self._user, cwd="/")
        return [f"sqlite database {name} made"]

    def environment(self, name: str, user: str, password: str) -> tuple[str, dict[str, str]]:
        """Return the url for the application."""
        return f"sqlite:///{self._path(name)}", {}

    def dump(self, name: str, target: Path) -> None:
        """Write a copy that is whole although the application writes meanwhile."""
        path = self._path(name)
        if path.is_symlink():
            raise CorpusError(f"{path} is a link, and is not followed.")
        if not path.exists():
            return
        target.touch(mode=0o600)
        try:
            with (
                contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
                contextlib.closing(sqlite3.connect(target)) as copy,
            ):
                source.backup(copy)
        except sqlite3.Error as err:
            raise CorpusError(f"{path} cannot be copied: {err}.") from err

    def drop(self, name: str, user: str) -> None:
        """The file goes with the project's data."""
