"""PostgreSQL, by psql: names and passwords reach SQL as psql's own quoted variables, never by our hand."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from urllib.parse import quote

from corpus import processes
from corpus.errors import CorpusError
from corpus.project.databases.address import Address


class Postgresql:
    """A PostgreSQL server.

    :param admin: url of its administrator; empty: the local one, as its superuser
    """

    def __init__(self, admin: str) -> None:
        self._address = Address.read(admin, ("postgresql", "postgres"))
        self._login = _superuser() if os.geteuid() == 0 and not self._address.host else None

    def exists(self, name: str, user: str) -> bool:
        """Tell whether there is a database, or a role, of that name."""
        return bool(
            self._ask(
                "SELECT 1 FROM pg_database WHERE datname = :'name' UNION SELECT 1 FROM pg_roles WHERE rolname = :'user'",
                name=name,
                user=user,
            )
        )

    def ensure(self, name: str, user: str, password: str, extensions: tuple[str, ...]) -> list[str]:
        """Make role, database and extensions where they are missing; return what was done, in words."""
        done = []
        if not self._ask("SELECT 1 FROM pg_roles WHERE rolname = :'user'", user=user):
            self._ask("CREATE ROLE :\"user\" LOGIN PASSWORD :'password'", user=user, password=password)
        elif not self._logs_in(user, password):
            self._ask("ALTER ROLE :\"user\" LOGIN PASSWORD :'password'", user=user, password=password)
            done.append(f"password of {user} set")
        if not self._ask("SELECT 1 FROM pg_database WHERE datname = :'name'", name=name):
            self._ask('GRANT :"user" TO CURRENT_USER', user=user)  # else only a superuser may give it away
            self._ask('CREATE DATABASE :"name" OWNER :"user"', name=name, user=user)
            self._ask('REVOKE ALL ON DATABASE :"name" FROM PUBLIC', name=name)
            done.append(f"postgresql database {name} made")
        for extension in extensions:
            if not self._ask("SELECT 1 FROM pg_extension WHERE extname = :'e'", name, e=extension):
                self._ask('CREATE EXTENSION :"e"', name, e=extension)
                done.append(f"extension {extension} made")
        return done

    def environment(self, name: str, user: str, password: str) -> tuple[str, dict[str, str]]:
        """Return the url for the application, and libpq's variables."""
        port = self._ask("SHOW port")
        host, socket = self._address.host, ""
        if not host:
            listens = {address.strip() for address in self._ask("SHOW listen_addresses").split(",")}
            if listens & {"*", "localhost", "127.0.0.1", "0.0.0.0"}:  # noqa: S104
                host = "127.0.0.1"
            else:
                socket = self._ask("SHOW unix_socket_directories").split(",")[0].strip()
        place = f"{host}:{port}/{name}" if host else f"/{name}?host={quote(socket)}&port={port}"
        further = {"PGHOST": host or socket, "PGPORT": port, "PGDATABASE": name, "PGUSER": user, "PGPASSWORD": password}
        return f"postgresql://{user}:{password}@{place}", further

    def dump(self, name: str, target: Path) -> None:
        """Write a dump in pg_dump's custom format, for pg_restore."""
        with open(target, "wb", opener=_private) as stream:
            processes.pour(["pg_dump", "--format=custom", name], stream, user=self._login, env=self._environment())

    def drop(self, name: str, user: str) -> None:
        """Remove database and role; who is connected is sent away."""
        self._ask('DROP DATABASE IF EXISTS :"name" WITH (FORCE)', name=name)
        self._ask('DROP ROLE IF EXISTS :"user"', user=user)

    def _logs_in(self, user: str, password: str) -> bool:
        url, _ = self.environment("postgres", user, password)
        env = {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"}
        asked = processes.run(
            ["psql", "-XAtqw", "-c", "SELECT 1", url.replace(f":{password}@", "@")], env=env, check=False
        )
        return asked.status == 0

    def _environment(self) -> dict[str, str]:
        address = self._address
        found = {
            "PGHOST": address.host or address.socket,
            "PGPORT": address.port,
            "PGUSER": address.user,
            "PGPASSWORD": address.password,
            "PGCONNECT_TIMEOUT": "10",
        }
        return {name: value for name, value in found.items() if value}

    def _ask(self, sql: str, database: str = "postgres", **variables: str) -> str:
        """Run one statement as the administrator and return what it answers.

        :raises CorpusError: the server cannot be reached, or refuses
        """
        rows = [f"\\set {name} '{_literal(value)}'" for name, value in variables.items()]
        asked = processes.run(
            ["psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", database],
            stdin="\n".join([*rows, f"{sql};", ""]),
            user=self._login,
            cwd="/",
            env=self._environment(),
            check=False,
        )
        if asked.status:
            words = next((line for line in asked.errors.splitlines() if "error" in line.lower()), asked.last_words)
            raise CorpusError(f"PostgreSQL refuses: {words.split('ERROR:')[-1].removeprefix('psql: error: ').strip()}")
        return asked.output.strip()


def _literal(value: str) -> str:
    """Write a value for psql's ``\\set``, whose quotes know backslashes."""
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _superuser() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
