"""Databases of a project: a database and a user each, credentials in the registry, the address in the environment.

What a database is made with is in the registry before it is made; doing it again changes nothing. One that exists
and is not in the registry is somebody else's, and is not touched.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from corpus import identifiers
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.databases import mysql, postgresql, sqlite
from corpus.project.keeping import registry
from corpus.project.layout import Layout

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_EXTENSION = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_KEYS = ("type", "name", "user", "admin", "extensions", "variable")
_TYPES = ("postgresql", "mysql", "sqlite")
_SAME = {"mariadb": "mysql", "postgres": "postgresql", "sqlite3": "sqlite"}


@dataclass(frozen=True)
class Wish:
    """A database that a project wants.

    :param type: postgresql, mysql or sqlite
    :param name: of the database
    :param user: that owns it
    :param admin: url by which its server is administered; empty: the local one, by its socket, as its superuser
    :param extensions: of PostgreSQL
    :param variable: environment variable that gets its url
    """

    type: str
    name: str
    user: str
    admin: str
    extensions: tuple[str, ...]
    variable: str

    @property
    def key(self) -> str:
        """Its name in the registry."""
        return f"{self.type}/{self.name}"


class Server(Protocol):
    """A database server as its administrator sees it."""

    def exists(self, name: str, user: str) -> bool:
        """Tell whether there is a database, or a user, of that name."""

    def ensure(self, name: str, user: str, password: str, extensions: tuple[str, ...]) -> list[str]:
        """Make user, database and extensions where they are missing; return what was done, in words."""

    def environment(self, name: str, user: str, password: str) -> tuple[str, dict[str, str]]:
        """Return the url for the application, and further variables."""

    def dump(self, name: str, target: Path) -> None:
        """Write a dump that can be restored."""

    def drop(self, name: str, user: str) -> None:
        """Remove database and user."""


def wished(cfg: Mapping[str, Any]) -> list[Wish]:
    """Return the databases that a project's key ``databases`` asks for.

    :raises ConfigurationError: an entry cannot be
    """
    found: list[Wish] = []
    for entry in cfg["databases"]:
        wish = read(entry, cfg["name"], first=not found)
        if any(wish.key == other.key or wish.variable == other.variable for other in found):
            raise ConfigurationError(f"databases: {wish.key} ({wish.variable}) stands there twice.")
        found.append(wish)
    return found


def read(entry: object, project: str, first: bool = True) -> Wish:
    """Read one entry; a text is a type.

    :param first: whether its url goes to ``DATABASE_URL`` unless it says otherwise
    :raises ConfigurationError: it cannot be
    """
    values: Mapping[str, Any] = {"type": entry} if isinstance(entry, str) else entry  # type: ignore[assignment]
    if not isinstance(values, Mapping) or not set(values) <= set(_KEYS):
        raise ConfigurationError(f"databases: {identifiers.shown(entry)}: an entry has the keys {', '.join(_KEYS)}.")
    kind = _SAME.get(values.get("type", ""), values.get("type"))
    if kind not in _TYPES:
        raise ConfigurationError(f"databases: type is one of {', '.join(_TYPES)}, not {identifiers.shown(kind)}.")
    plain = project.replace("-", "_")
    name = values.get("name") or plain
    user = values.get("user") or plain
    variable = values.get("variable") or ("DATABASE_URL" if first else f"{str(name).upper()}_DATABASE_URL")
    extensions = values.get("extensions") or []
    for what, value, rule in (("name", name, _NAME), ("user", user, _NAME), ("variable", variable, _VARIABLE)):
        if not isinstance(value, str) or not rule.fullmatch(value):
            raise ConfigurationError(f"databases: {what} cannot be {identifiers.shown(value)}.")
    for extension in extensions if isinstance(extensions, list) else [extensions]:
        if kind != "postgresql" or not isinstance(extension, str) or not _EXTENSION.fullmatch(extension):
            raise ConfigurationError(f"databases: {kind} has no extension {identifiers.shown(extension)}.")
    return Wish(kind, name, user, str(values.get("admin") or ""), tuple(extensions), variable)


def server(layout: Layout, kind: str, admin: str, data: Path, user: str | None) -> Server:
    """Return the server of a type.

    :param admin: see :class:`Wish`
    :param data: folder for files of SQLite
    :param user: the project's, who owns those
    :raises ConfigurationError: ``admin`` is no url of that type
    """
    if kind == "postgresql":
        return postgresql.Postgresql(admin)
    if kind == "mysql":
        return mysql.Mysql(admin)
    return sqlite.Sqlite(data, user)


def ensure(layout: Layout, wish: Wish, data: Path, user: str | None, test: bool = False) -> list[str]:
    """Make sure that a database is there and that the registry knows it; return what was done, in words.

    :param test: tell what would be done, and do nothing
    :raises CorpusError: the server cannot be reached, refuses, or has one of that name that is not ours
    """
    made = server(layout, wish.type, wish.admin, data, user)
    known = registry.opened(layout).get("databases", {}).get(wish.key)
    if known is None:
        if made.exists(wish.name, wish.user):
            raise CorpusError(
                f"databases: there is a {wish.type} database or user {wish.name!r} already, and this project did not make it: "
                "choose another name and user."
            )
        if test:
            return [f"{wish.type} database {wish.name} would be made"]
        known = {
            "type": wish.type,
            "name": wish.name,
            "user": wish.user,
            "password": secrets.token_hex(20),
            "made": False,
        }
    elif test:
        return []
    with registry.changing(layout) as held:
        held.setdefault("databases", {})[wish.key] = {**known, "admin": wish.admin, "data": str(data), "as": user}
    words = made.ensure(wish.name, known["user"], known["password"], wish.extensions)
    url, further = made.environment(wish.name, known["user"], known["password"])
    with registry.changing(layout) as held:
        held["databases"][wish.key]["made"] = True
        held.setdefault("env", {}).update({**further, wish.variable: url})
    return words


def ensure_all(layout: Layout, cfg: Mapping[str, Any], user: str | None, test: bool = False) -> list[str]:
    """Make sure of every database that the configuration asks for; return what was done, in words."""
    wishes = wished(cfg)
    return [word for wish in wishes for word in ensure(layout, wish, Path(cfg["data_root"]), user, test)]


def _known(layout: Layout) -> Iterator[tuple[dict[str, Any], Server]]:
    for entry in registry.opened(layout).get("databases", {}).values():
        yield entry, server(layout, entry["type"], entry["admin"], Path(entry["data"]), entry["as"])


def dump_all(layout: Layout, folder: Path) -> list[str]:
    """Dump every database of a project into a folder, as ``<type>-<name>.dump``; return their names.

    :raises CorpusError: one of them cannot be dumped
    """
    names = []
    for entry, of in _known(layout):
        if not entry.get("made", True):  # we died before it was, or its server refused: nobody has written to it
            continue
        folder.mkdir(mode=0o700, exist_ok=True)
        of.dump(entry["name"], folder / f"{entry['type']}-{entry['name']}.dump")
        names.append(f"{entry['type']} {entry['name']}")
    return names


def reach_all(layout: Layout) -> None:
    """Ask the server of every database that was made for a project.

    :raises CorpusError: one of them cannot be reached
    """
    for entry, of in _known(layout):
        of.exists(entry["name"], entry["user"])


def drop_all(layout: Layout) -> None:
    """Remove every database that was made for a project, and its user."""
    for entry, of in _known(layout):
        of.drop(entry["name"], entry["user"])
