"""A real PowerDNS for tests: on loopback, on ports and in a folder of its own, answered through ``dig``."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.machine import deadline, free_port, run

#: Why a test that needs it cannot run here; None when it can
MISSING = next(
    (
        f"{program} is not installed (Debian: apt-get install {package})"
        for program, package in (("pdns_server", "pdns-server pdns-backend-sqlite3"), ("dig", "bind9-dnsutils"))
        if not shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    ),
    None,
)

_CONFIGURATION = """\
{backend}
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
daemon=no
guardian=no
disable-syslog=yes
write-pid=no
api=yes
api-key={key}
webserver=yes
webserver-address=127.0.0.1
webserver-port={api_port}
webserver-allow-from=127.0.0.1/32
query-cache-ttl=0
cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
"""


@dataclass
class PowerDns:
    """A server that runs.

    :param folder: absolute path of its configuration, database and log
    :param port: where it answers questions, UDP and TCP, on 127.0.0.1
    :param api_port: where its REST API answers, on 127.0.0.1
    :param key: of the API
    """

    folder: Path
    port: int
    api_port: int
    key: str

    @property
    def url(self) -> str:
        """Of the API, as ``corpus.dns.url`` wants it."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def key_file(self) -> Path:
        """The file that holds the key, 0600, as ``corpus.dns.api_key_file`` wants it."""
        return self.folder / "api.key"

    @property
    def log(self) -> Path:
        return self.folder / "pdns.log"

    def dig(self, name: str, kind: str = "A", *words: str) -> list[str]:
        """Ask for a name; the answers in the short form of ``dig``, sorted.

        :param kind: type of record
        :param words: more of dig's arguments, such as ``+dnssec``
        """
        return sorted(self._ask("+short", *words, name, kind).splitlines())

    def status(self, name: str, kind: str = "A") -> str:
        """Ask for a name; the status of the answer: ``NOERROR``, ``NXDOMAIN``, ``REFUSED`` …"""
        return self._ask("+noall", "+comments", name, kind).split("status: ")[1].split(",")[0]

    def _ask(self, *words: str) -> str:
        asked = run(["dig", "@127.0.0.1", "-p", str(self.port), "+time=2", "+tries=2", *words])
        assert asked.status == 0, asked.said
        return asked.output

    def call(self, method: str, path: str, **body: object) -> requests.Response:
        """Call the API as somebody else would.

        :param path: below ``/api/v1/servers/localhost``: ``zones/corpus.test.``
        """
        return requests.request(
            method,
            f"{self.url}/api/v1/servers/localhost/{path}",
            headers={"X-API-Key": self.key},
            json=body or None,
            timeout=10,
        )

    def serial(self, zone: str) -> int:
        """The serial of a zone's SOA: it grows with every change that was sent."""
        return int(self.dig(zone, "SOA")[0].split()[2])


@contextmanager
def powerdns(postgresql: str = "", **options: str) -> Iterator[PowerDns]:
    """Run PowerDNS until the block ends.

    :param postgresql: connection string (libpq) of an empty database to keep zones in; empty: SQLite
    :param options: more lines of its configuration, ``_`` for ``-``
    """
    for attempt in range(3):
        with tempfile.TemporaryDirectory(prefix=f"corpus-dns-{os.getpid()}-", dir="/tmp") as name:
            server = PowerDns(Path(name), free_port(), free_port(), secrets.token_hex(16))
            backend = _postgresql(postgresql) if postgresql else _sqlite(server.folder)
            text = _CONFIGURATION.format(
                backend=backend, port=server.port, folder=name, key=server.key, api_port=server.api_port
            )
            text += "".join(f"{key.replace('_', '-')}={value}\n" for key, value in options.items())
            for path, content in ((server.key_file, server.key + "\n"), (server.folder / "pdns.conf", text)):
                path.touch(0o600)
                path.write_text(content)
            with server.log.open("w") as log:
                process = subprocess.Popen(
                    ["/usr/sbin/pdns_server", f"--config-dir={name}"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            try:
                if not _up(server, process):  # somebody took one of its ports meanwhile
                    assert attempt < 2, server.log.read_text()
                    continue
                yield server
                return
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _sqlite(folder: Path) -> str:
    import sqlite3

    database = folder / "pdns.sqlite3"
    with sqlite3.connect(database) as connection:
        connection.executescript(Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql").read_text())
    connection.close()
    return f"launch=gsqlite3\ngsqlite3-database={database}\ngsqlite3-dnssec=yes"


def _postgresql(connection: str) -> str:
    """Make the tables, as the owner that the connection names, and return the lines of the configuration."""
    known = dict(word.split("=", 1) for word in connection.split())
    schema = "/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql"
    made = run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection, "-f", schema])
    assert made.status == 0, made.said
    names = {"host": "host", "port": "port", "dbname": "dbname", "user": "user", "password": "password"}
    lines = [f"gpgsql-{names[key]}={value}" for key, value in known.items()]
    return "\n".join(["launch=gpgsql", *lines, "gpgsql-dnssec=yes"])


def _up(server: PowerDns, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until it answers; False when it ended instead."""
    for _ in deadline(30):
        if process.poll() is not None:
            return False
        try:
            if server.call("GET", "zones").status_code == 200 and server.status("localhost") == "REFUSED":
                return True
        except (requests.ConnectionError, AssertionError, IndexError):
            continue
    return False
