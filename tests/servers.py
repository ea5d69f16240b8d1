"""Real database servers for tests, each in a folder of its own, as their own users, on loopback and a socket."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine import deadline, free_port, run


@contextmanager
def _folder(owner: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=f"corpus-{owner}-", dir="/tmp") as name:
        folder = Path(name)
        shutil.chown(folder, owner, owner)
        folder.chmod(0o755)
        yield folder


@contextmanager
def postgresql() -> Iterator[str]:
    """Run PostgreSQL; the url of its administrator."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    with _folder("postgres") as folder:
        port = free_port()
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        made = run(
            [
                *as_postgres,
                str(programs / "initdb"),
                "-D",
                f"{folder}/main",
                "-A",
                "scram-sha-256",
                "--auth-local=peer",
                "-N",
            ]
        )
        assert made.status == 0, made.said
        server = subprocess.Popen(
            [
                *as_postgres,
                str(programs / "postgres"),
                "-D",
                f"{folder}/main",
                "-k",
                str(folder),
                "-p",
                str(port),
                "-F",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in deadline(20):
                if run([str(programs / "pg_isready"), "-h", str(folder), "-p", str(port)]).status == 0:
                    break
            yield f"postgresql:///?host={folder}&port={port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


_LDAP = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
database mdb
directory {folder}/main
suffix "dc=corpus,dc=test"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=salt,dc=corpus,dc=test" read by * none
"""
_PEOPLE = """\
dn: dc=corpus,dc=test
objectClass: dcObject
objectClass: organization
o: corpus
dc: corpus

dn: cn=salt,dc=corpus,dc=test
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: salt
userPassword: salt-word

dn: ou=People,dc=corpus,dc=test
objectClass: organizationalUnit
ou: People

dn: ou=Groups,dc=corpus,dc=test
objectClass: organizationalUnit
ou: Groups

dn: cn=corpus-admins,ou=Groups,dc=corpus,dc=test
objectClass: posixGroup
cn: corpus-admins
gidNumber: 3000
memberUid: ada
"""
_PERSON = """
dn: uid={name},ou=People,dc=corpus,dc=test
objectClass: account
objectClass: posixAccount
uid: {name}
cn: {name}
uidNumber: {number}
gidNumber: {number}
homeDirectory: /home/{name}
userPassword: {name}-word
"""


@contextmanager
def ldap() -> Iterator[str]:
    """Run a directory below ``dc=corpus,dc=test``; its url.

    ``ada`` is in the group ``corpus-admins``, ``bob`` in none; the passwords are ``<name>-word``. ``cn=salt`` may read it.
    """
    with tempfile.TemporaryDirectory(prefix="corpus-ldap-", dir="/tmp") as name:
        folder, url = Path(name), f"ldap://127.0.0.1:{free_port()}"
        (folder / "main").mkdir()
        (folder / "slapd.conf").write_text(_LDAP.format(folder=folder))
        people = "".join(_PERSON.format(name=name, number=3001 + n) for n, name in enumerate(("ada", "bob")))
        (folder / "people").write_text(_PEOPLE + people)
        made = run(["/usr/sbin/slapadd", "-f", f"{folder}/slapd.conf", "-l", f"{folder}/people"])
        assert made.status == 0, made.said
        server = subprocess.Popen(
            ["/usr/sbin/slapd", "-f", f"{folder}/slapd.conf", "-h", url, "-d", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in deadline(20):
                assert server.poll() is None, "slapd does not run"
                if run(["bash", "-c", f"</dev/tcp/{url.removeprefix('ldap://').replace(':', '/')}"]).status == 0:
                    break
            yield url
        finally:
            server.terminate()
            server.wait(20)


@contextmanager
def mariadb() -> Iterator[str]:
    """Run MariaDB; the url of its administrator."""
    with _folder("mysql") as folder:
        data = f"--datadir={folder}/data"
        made = run(
            ["mariadb-install-db", "--no-defaults", "--user=mysql", data, "--auth-root-authentication-method=socket"]
        )
        assert made.status == 0, made.said
        socket = folder / "socket"
        server = subprocess.Popen(
            [
                *("mariadbd", "--no-defaults", "--user=mysql", data, f"--socket={socket}", f"--port={free_port()}"),
                *("--bind-address=127.0.0.1", f"--pid-file={folder}/pid", "--innodb-flush-log-at-trx-commit=0"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TZ": "UTC"},
        )
        try:
            for _ in deadline(30):
                if run(["mysqladmin", "--no-defaults", f"--socket={socket}", "ping"]).status == 0:
                    break
            yield f"mysql:///?socket={socket}"
        finally:
            server.terminate()
            server.wait(20)
