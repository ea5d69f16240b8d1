"""A machine becomes the controller: real states, a real PowerDNS, a real master; in folders of the test's own."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from corpus.controller import bootstrap
from corpus.errors import ConfigurationError, CorpusError, UsageError

from tests.machine import Ended, deadline, free_port, run
from tests.powerdns import MISSING
from tests.registries import Databases
from tests.registries import databases as _databases
from tests.servers import ldap

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a controller is made by root"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.skipif(
        not shutil.which("mmdebstrap"), reason="mmdebstrap is not installed (apt-get install mmdebstrap)"
    ),
    pytest.mark.skipif(not shutil.which("sqlite3"), reason="sqlite3 is not installed (apt-get install sqlite3)"),
]


@pytest.fixture(scope="module")
def wish() -> Iterator[bootstrap.Wish]:
    with tempfile.TemporaryDirectory(prefix="cb-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        yield _wished(Path(name))


def _wished(folder: Path, **more: Any) -> bootstrap.Wish:
    """A controller whose everything lies in a folder."""
    (folder / "pdns").mkdir()
    (folder / "salt").mkdir()
    settings = {
        "home": str(folder / "home"),
        "zone": "corpus.test",
        "master_address": "127.0.0.1",
        "mail": {"host": "127.0.0.1", "sender": "corpus@example.org", "sysadmins": ["ops@example.org"]},
    }
    return bootstrap.Wish(
        settings,
        dns_addresses=("127.0.0.1",),
        dns_port=free_port(),
        dns_api_port=free_port(),
        dns_folder=folder / "etc/powerdns",
        dns_home=folder / "pdns",
        dns_user="",
        interface="127.0.0.1",
        publish_port=free_port(),
        return_port=free_port(),
        root=folder / "salt",
        configuration=folder / "etc/salt",
        systemd=False,
        **more,
    )


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    with _databases() as made:
        yield made


@contextmanager
def _started(lines: list[str], log: Path) -> Iterator[None]:
    """What the report lists, in the foreground."""
    with ExitStack() as stack, log.open("w") as out:
        for line in lines:
            words = [
                word.replace("--daemon=yes", "--daemon=no").replace("--guardian=yes", "--guardian=no")
                for word in line.split()
                if word != "-d"
            ]
            path = f"{os.environ['PATH']}:/usr/sbin"
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, "PATH": path}
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield


def _files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


def test_a_plan_changes_nothing(wish: bootstrap.Wish) -> None:
    before = _files(wish.root.parent)
    planned = bootstrap.controller(wish, test=True)
    assert planned["result"] is None, planned
    assert {"controller-dns-configuration", "controller-master-configuration", "registry", "zone", "ssh key"} <= set(
        planned["changes"]
    )
    assert _files(wish.root.parent) == before


def test_a_machine_becomes_the_controller_and_stays_it(wish: bootstrap.Wish) -> None:
    home = wish.read().home
    made = bootstrap.controller(wish)
    assert made["result"] is True, made
    assert "waits for PowerDNS" in made["changes"]["zone"]
    assert "start what is listed" in made["comment"]
    assert len(made["start"]) == 2
    for path in (
        home / "pdns.key",
        home / "registry.sqlite3",
        home / "ssh/controller",
        wish.configuration / "master.d/corpus.conf",
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    secret = (home / "pdns.key").read_text().strip()
    assert secret not in json.dumps(made)
    with _started(made["start"], home / "log"):
        for _ in deadline(60):
            again = bootstrap.controller(wish)
            assert again["result"] is True, again
            if "waits" not in str(again["changes"].get("zone")):
                break
        assert list(again["changes"]) == ["zone"]
        asked = ["dig", "+short", "@127.0.0.1", "-p", str(wish.dns_port), "corpus.test", "NS"]
        assert run(asked).output == "ns1.corpus.test.\n"
        reverse = {"64.10.in-addr.arpa", "4.6.0.0.0.0.d.f.ip6.arpa"}
        assert set(again["changes"]["zone"]) == {"corpus.test", *reverse}
        for zone in reverse:
            assert run([*asked[:-2], zone, "NS"]).output == "ns1.corpus.test.\n"
        settled = bootstrap.controller(wish)
        assert settled["changes"] == {}
        assert bootstrap.controller(wish, test=True)["result"] is True
        for _ in deadline(60):
            if (wish.root / "etc/salt/pki/master/master.pub").exists():
                break
        salt_run = [
            str(Path(sys.executable).parent / "salt-run"),
            "-c",
            str(wish.configuration),
            "--out=json",
            "-l",
            "error",
        ]
        shown = run([*salt_run, "pillar.show_pillar", "nobody"], timeout=60)
        assert shown.status == 0, shown.said
        assert json.loads(shown.output) == {}
        listed = run([*salt_run, "fileserver.file_list"], timeout=60)
        assert "corpus/guest/files/etc/systemd/system/salt-minion.service" in json.loads(listed.output)


def test_settings_that_change_are_written(wish: bootstrap.Wish) -> None:
    bootstrap.controller(wish)
    other = replace(wish, settings={**wish.settings, "ssh_ports": 41000})
    assert "controller-master-configuration" in bootstrap.controller(other)["changes"]
    assert '"ssh_ports": 41000' in (wish.configuration / "master.d/corpus.conf").read_text()


def test_people_come_from_ldap_when_it_is_named(wish: bootstrap.Wish, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    ldap = {"uri": "ldaps://ldap.example.org", "basedn": "dc=example", "bind_password_file": str(tmp_path / "password")}
    written = bootstrap.master_configuration(replace(wish, ldap=ldap, admins="ops"))
    assert list(written["external_auth"]) == ["ldap"]
    assert list(written["external_auth"]["ldap"]) == ["ops%"]
    assert written["auth.ldap.uri"] == "ldaps://ldap.example.org"
    assert written["auth.ldap.bindpw"] == "s3cret"
    assert "auth.ldap.bind_password_file" not in written
    assert list(bootstrap.master_configuration(wish)["external_auth"]) == ["pam"]


@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/usr/sbin/slapd").exists(), reason="slapd is not installed (apt-get install slapd)")
def test_people_log_in_by_ldap_and_zones_are_kept_in_postgresql(databases: Databases) -> None:
    with tempfile.TemporaryDirectory(prefix="cb-", dir="/var/tmp", ignore_cleanup_errors=True) as name, ldap() as url:
        folder, database = Path(name), urlsplit(databases.new())
        for path, word in (("ldap.password", "salt-word\n"), ("pdns.password", f"{database.password}\n")):
            (folder / path).touch(0o600)
            (folder / path).write_text(word)
        directory = {
            "uri": url,
            "basedn": "dc=corpus,dc=test",
            "binddn": "cn=salt,dc=corpus,dc=test",
            "bind_password_file": str(folder / "ldap.password"),
            "filter": "(&(uid={{ username }})(objectClass=posixAccount))",
            "groupou": "Groups",
            "groupclass": "posixGroup",
            "accountattributename": "memberUid",
        }
        zones = {
            "host": database.hostname,
            "port": database.port,
            "dbname": database.path[1:],
            "user": database.username,
            "password_file": str(folder / "pdns.password"),
        }
        wish = _wished(folder, ldap=directory, dns_database=zones)
        made = bootstrap.controller(wish)
        assert made["result"] is True, made
        assert "salt-word" not in json.dumps(made)
        written = (wish.dns_folder / "pdns.d/corpus.conf").read_text()
        assert ("launch=gpgsql" in written, "gsqlite3" in written) == (True, False)
        with _started(made["start"], folder / "log"):
            for _ in deadline(60):
                again = bootstrap.controller(wish)
                assert again["result"] is True, again
                if "waits" not in str(again["changes"].get("zone")):
                    break
            assert list(again["changes"]) == ["zone"]
            asked = ["dig", "+short", "@127.0.0.1", "-p", str(wish.dns_port), "corpus.test", "NS"]
            assert run(asked).output == "ns1.corpus.test.\n"
            with psycopg.connect(database.geturl()) as connection:
                assert ("corpus.test",) in connection.execute("SELECT name FROM domains").fetchall()
            assert bootstrap.controller(wish)["changes"] == {}

            def asks(person: str, word: str) -> Ended:
                """Ask the controller how it is, as somebody."""
                salt_run = [str(Path(sys.executable).parent / "salt-run"), "-c", str(wish.configuration)]
                who = ["-a", "ldap", f"--username={person}", f"--password={word}"]
                return run([*salt_run, *who, "--out=json", "-l", "quiet", "mc_controller.report"], timeout=60)

            for _ in deadline(60):
                report = asks("ada", "ada-word")
                if '"parts"' in report.output:
                    break
            assert json.loads(report.output)["parts"] == {"registry": "ok", "dns": "ok", "master": "ok"}, report.said
            for person, word in (("ada", "bob-word"), ("bob", "bob-word"), ("nobody", "")):
                refused = asks(person, word)
                assert '"parts"' not in refused.said, person
                assert "Authentication failure" in refused.said, refused.said


def test_what_is_not_known_is_refused(wish: bootstrap.Wish) -> None:
    with pytest.raises(ConfigurationError, match=r"ldap\.url is not known"):
        replace(wish, ldap={"url": "x"})
    with pytest.raises(ConfigurationError, match="more than one line"):
        replace(wish, dns_database={"host": "x\nlaunch=pipe"})
    with pytest.raises(UsageError, match="cannot name a group"):
        replace(wish, admins="a b")
    with pytest.raises(CorpusError):
        replace(wish, settings={"zon": "x"})


def test_a_state_that_fails_is_told_in_one_sentence(wish: bootstrap.Wish) -> None:
    broken = replace(wish, dns_home=Path("/proc/nowhere"))
    told = bootstrap.controller(broken)
    assert told["result"] is False
    assert "controller-dns-home" in told["comment"]
    assert "Traceback" not in told["comment"]


def test_a_file_says_what_the_controller_should_be_like() -> None:
    given = {"settings": {"zone": "a.test"}, "dns_addresses": ["192.0.2.1"], "root": "/srv/x", "dns_port": 5353}
    wished = bootstrap.wished(given, zone="b.test", master_address=None)
    assert wished.read().zone == "b.test"
    assert (wished.dns_addresses, wished.root, wished.dns_port) == (("192.0.2.1",), Path("/srv/x"), 5353)
    for wrong in ({"dns_port": "53"}, {"dns_port": True}, {"root": "relative"}, {"systemd": 1}, {"admins": None}):
        with pytest.raises(ConfigurationError, match="of another type"):
            bootstrap.wished(wrong)
    with pytest.raises(ConfigurationError, match="'zones' is not known"):
        bootstrap.wished({"zones": 1})
    with pytest.raises(ConfigurationError, match="is a mapping"):
        bootstrap.wished(["zone"])
