"""MySQL and MariaDB, by their command line client.

It has no variables that quote themselves: names are of :data:`corpus.project.databases._NAME`, and passwords are
hexadecimal digits of our own making; anything else is refused here once more.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote

from corpus import processes
from corpus.errors import CorpusError
from corpus.project.databases.address import Address

_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")


class Mysql:
    """A MySQL or MariaDB server.

    :param admin: url of its administrator; empty: the local one, by its socket, as root
    """

    def __init__(self, admin: str) -> None:
        self._address = Address.read(admin, ("mysql", "mariadb"))

    def exists(self, name: str, user: str) -> bool:
        """Tell whether there is a database, or a user, of that name."""
        return bool(self._databases(name) or self._users(user))

    def ensure(self, name: str, user: str, password: str, extensions: tuple[str, ...] = ()) -> list[str]:
        """Make user and database where they are missing; return what was done, in words."""
        done = []
        new = not self._databases(name)
        for host in self._hosts():
            self._ask(f"CREATE USER IF NOT EXISTS '{_word(user)}'@'{host}' IDENTIFIED BY '{_word(password)}'")
            self._ask(f"ALTER USER '{_word(user)}'@'{host}' IDENTIFIED BY '{_word(password)}'")
        if new:
            self._ask(f"CREATE DATABASE `{_word(name)}` CHARACTER SET utf8mb4")
            done.append(f"mysql database {name} made")
        pattern = _word(name).replace("_", "\\_")  # in GRANT, _ stands for any sign
        for host in self._hosts():
            self._ask(f"GRANT ALL ON `{pattern}`.* TO '{_word(user)}'@'{host}'")
        return done

    def environment(self, name: str, user: str, password: str) -> tuple[str, dict[str, str]]:
        """Return the url for the application, and variables that clients and frameworks read."""
        silent, port, socket = self._ask("SELECT @@skip_networking, @@port, @@socket").split("\t")
        host = self._address.host or ("" if silent == "1" else "127.0.0.1")
        place = f"{host}:{port}/{name}" if host else f"localhost/{name}?unix_socket={quote(socket)}"
        further = {
            "MYSQL_HOST": host or "localhost",
            "MYSQL_TCP_PORT": port,
            "MYSQL_DATABASE": name,
            "MYSQL_USER": user,
            "MYSQL_PASSWORD": password,
            **({} if host else {"MYSQL_UNIX_PORT": socket}),
        }
        return f"mysql://{user}:{password}@{place}", further

    def dump(self, name: str, target: Path) -> None:
        """Write a dump as SQL, for the client."""
        argv = [
            "mysqldump",
            *self._where(),
            "--single-transaction",
            "--routines",
            "--triggers",
            "--events",
            _word(name),
        ]
        with open(target, "wb", opener=_private) as stream:
            processes.pour(argv, stream, env=self._environment())

    def drop(self, name: str, user: str) -> None:
        """Remove database and user."""
        self._ask(f"DROP DATABASE IF EXISTS `{_word(name)}`")
        for host in self._hosts():
            self._ask(f"DROP USER IF EXISTS '{_word(user)}'@'{host}'")

    def _databases(self, name: str) -> str:
        return self._ask(f"SELECT 1 FROM information_schema.schemata WHERE schema_name = '{_word(name)}'")  # noqa: S608

    def _users(self, user: str) -> str:
        return self._ask(f"SELECT 1 FROM mysql.user WHERE user = '{_word(user)}' LIMIT 1")  # noqa: S608

    def _hosts(self) -> tuple[str, ...]:
        local = self._address.host in ("", "localhost", "127.0.0.1", "::1")
        return ("localhost", "127.0.0.1") if local else ("%",)

    def _where(self) -> list[str]:
        address = self._address
        found = {"host": address.host, "port": address.port, "socket": address.socket, "user": address.user}
        return ["--no-defaults", *(f"--{name}={value}" for name, value in found.items() if value)]

    def _environment(self) -> dict[str, str | None]:
        return {"MYSQL_PWD": self._address.password or None}

    def _ask(self, sql: str) -> str:
        """Run one statement as the administrator and return what it answers.

        :raises CorpusError: the server cannot be reached, or refuses
        """
        argv = ["mysql", *self._where(), "--batch", "--skip-column-names", "--connect-timeout=10"]
        asked = processes.run(argv, stdin=f"{sql};\n", env=self._environment(), check=False)
        if asked.status:
            raise CorpusError(f"MySQL refuses: {asked.last_words.removeprefix('ERROR ')}")
        return asked.output.strip("\n")


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise CorpusError("MySQL: a name or a password has a sign that is not taken.")
    return text


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
