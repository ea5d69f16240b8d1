"""A real slapd for tests: on loopback, on a port and in a folder of its own, with people and groups that come and go."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.machine import deadline, free_port

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


def _missing() -> str | None:
    if not shutil.which("slapd", path=_PATH):
        return "slapd is not installed (Debian: apt-get install slapd)"
    try:
        import ldap  # noqa: F401
    except ImportError:
        return "python-ldap is not installed (pip install 'corpus-salt[ldap]')"
    return None


#: Why a test that needs it cannot run here; None when it can
MISSING = _missing()

BASE = "dc=corpus,dc=test"
_ROOT = f"cn=admin,{BASE}"
#: Who looks people up.
_SALT = f"cn=salt,{BASE}"

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
database mdb
maxsize 16777216
suffix {base}
rootdn {root}
rootpw {password}
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact={salt} read by anonymous auth by * none
"""


@dataclass
class Slapd:
    """A directory that runs.

    :param folder: absolute path of its configuration, database and log
    :param port: where it answers, on 127.0.0.1
    :param password: of who administers it, and of who looks people up
    """

    folder: Path
    port: int
    password: str = field(default_factory=secrets.token_hex, repr=False)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        """What a master is told of it."""
        told = {
            "uri": self.uri,
            "basedn": BASE,
            "binddn": _SALT,
            "bindpw": self.password,
            "filter": "(&(uid={{ username }})(objectClass=posixAccount))",
        }
        return {f"auth.ldap.{key}": value for key, value in told.items()}

    def configure(self) -> None:
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "slapd.conf").write_text(
            _CONFIGURATION.format(folder=self.folder, base=BASE, root=_ROOT, salt=_SALT, password=self.password)
        )

    def start(self) -> None:
        """Start it; return when it answers."""
        import ldap

        program = shutil.which("slapd", path=_PATH)
        assert program
        argv = [program, "-f", str(self.folder / "slapd.conf"), "-h", self.uri, "-d", "0"]
        with (self.folder / "log").open("ab") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)
        for _ in deadline(20, 0.05):
            try:
                self._connected()
            except ldap.SERVER_DOWN:
                assert self.process.poll() is None, (self.folder / "log").read_text()
            else:
                return

    def stop(self) -> None:
        """End it; whoever asks finds nobody there."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(15)
            self.process = None

    def _connected(self) -> Any:
        import ldap

        made = ldap.initialize(self.uri)
        made.simple_bind_s(_ROOT, self.password)
        return made

    def plant(self) -> None:
        """Make the tree, without people."""
        made = self._connected()
        made.add_s(BASE, [("objectClass", [b"dcObject", b"organization"]), ("o", b"corpus"), ("dc", b"corpus")])
        made.add_s(
            _SALT,
            [
                ("objectClass", [b"organizationalRole", b"simpleSecurityObject"]),
                ("cn", b"salt"),
                ("userPassword", self.password.encode()),
            ],
        )
        for unit in ("People", "Groups"):
            made.add_s(f"ou={unit},{BASE}", [("objectClass", b"organizationalUnit"), ("ou", unit.encode())])

    def person(self, name: str, password: str, *groups: str) -> None:
        """Add a person, and put them into groups."""
        entry = [
            ("objectClass", [b"inetOrgPerson", b"posixAccount"]),
            *((key, name.encode()) for key in ("uid", "cn", "sn")),
            ("userPassword", password.encode()),
            ("uidNumber", b"10000"),
            ("gidNumber", b"10000"),
            ("homeDirectory", b"/nonexistent"),
        ]
        self._connected().add_s(f"uid={name},ou=People,{BASE}", entry)
        for group in groups:
            self.join(name, group)

    def leave(self, name: str) -> None:
        """Remove a person; groups go on naming them, as directories do."""
        self._connected().delete_s(f"uid={name},ou=People,{BASE}")

    def join(self, name: str, group: str) -> None:
        """Put a person into a group, which is made when it is not there."""
        import ldap

        made, dn = self._connected(), f"cn={group},ou=Groups,{BASE}"
        try:
            made.modify_s(dn, [(ldap.MOD_ADD, "memberUid", name.encode())])
        except ldap.NO_SUCH_OBJECT:
            entry = [("objectClass", b"posixGroup"), ("cn", group.encode()), ("gidNumber", b"20000")]
            made.add_s(dn, [*entry, ("memberUid", name.encode())])

    def part(self, name: str, group: str) -> None:
        """Take a person out of a group."""
        import ldap

        self._connected().modify_s(f"cn={group},ou=Groups,{BASE}", [(ldap.MOD_DELETE, "memberUid", name.encode())])


@contextmanager
def slapd() -> Iterator[Slapd]:
    """A directory without people, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="slapd-"))
    made = Slapd(folder, free_port())
    try:
        made.configure()
        made.start()
        made.plant()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
