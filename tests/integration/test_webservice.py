"""The web service as the controller installs it: as a user of its own, who gets the registry and nothing else."""

import json
import os
import pwd
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from corpus.controller import bootstrap, initialization
from corpus.controller.credentials import Credentials
from corpus.controller.registry.models import Owner, Role
from corpus.controller.registry.store import Registry
from corpus.controller.sealing import Sealing
from corpus.errors import ConfigurationError

from tests.machine import deadline, free_port, run

#: A user that every machine has.
NOBODY = pwd.getpwnam("nobody")

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a controller is made by root"),
    pytest.mark.skipif(
        not shutil.which("mmdebstrap"), reason="mmdebstrap is not installed (apt-get install mmdebstrap)"
    ),
]


@pytest.fixture(scope="module")
def wish() -> Iterator[bootstrap.Wish]:
    with tempfile.TemporaryDirectory(prefix="cw-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "salt").mkdir()
        (folder / "dns.key").touch(0o600)
        (folder / "dns.key").write_text("key\n")
        settings = {
            "home": str(folder / "home"),
            "zone": "corpus.test",
            "master_address": "127.0.0.1",
            "dns": {"url": f"http://127.0.0.1:{free_port()}", "api_key_file": str(folder / "dns.key")},
        }
        port = free_port()
        yield bootstrap.Wish(
            settings,
            web={"url": f"https://localhost:{port}", "listen": "127.0.0.1"},
            interface="127.0.0.1",
            publish_port=free_port(),
            return_port=free_port(),
            root=folder / "salt",
            configuration=folder / "etc/salt",
            web_folder=folder / "etc/corpus",
            web_user="nobody",
            systemd=False,
        )


@pytest.fixture(scope="module")
def made(wish: bootstrap.Wish) -> dict:
    planned = bootstrap.controller(wish, test=True)
    assert planned["result"] is None, planned
    assert not wish.read().home.exists()
    done = bootstrap.controller(wish)
    assert done["result"] is True, done
    return done


def _mode(path: Path) -> tuple[str, str, int]:
    found = path.stat()
    return path.owner(), path.group(), stat.S_IMODE(found.st_mode)


def test_each_file_is_for_whom_it_is_for(wish: bootstrap.Wish, made: dict) -> None:
    home, etc, group = wish.read().home, wish.web_folder, "nogroup"
    assert wish.read().registry_url == f"sqlite:///{home}/registry/registry.sqlite3"
    assert _mode(home) == ("root", group, 0o710)
    assert _mode(home / "registry") == ("root", group, 0o2770)
    assert _mode(home / "registry/registry.sqlite3") == ("root", group, 0o660)
    for name in ("web.password", "web.yaml", "web.key"):
        assert _mode(etc / name) == ("root", group, 0o640), name
    for name in ("identities", "ca.key"):
        assert _mode(etc / name) == ("root", "root", 0o600), name
    password = (etc / "web.password").read_text().strip()
    assert len(password) >= 40
    assert password not in json.dumps(made)
    assert password not in (etc / "identities").read_text()
    assert password not in (wish.configuration / "master.d/corpus.conf").read_text()


def test_made_again_nothing_changes_and_what_is_there_is_known(wish: bootstrap.Wish, made: dict) -> None:
    waits = {"zone"}  # there is no name server
    assert set(bootstrap.controller(wish)["changes"]) == waits
    before = (wish.web_folder / "web.crt").read_text()
    opts = bootstrap.master_configuration(wish) | {"conf_file": str(wish.configuration / "master")}
    known = bootstrap.wished(initialization._as_it_is(opts))
    assert known.web == {**wish.web, "port": int(wish.web["url"].rsplit(":", 1)[1])}
    assert set(bootstrap.controller(replace(known, web_user="nobody", systemd=False))["changes"]) == waits
    assert (wish.web_folder / "web.crt").read_text() == before


@contextmanager
def _running(lines: list[str], log: Path) -> Iterator[None]:
    """What a report lists, in the foreground; where nobody may read this Python, in a view of the disk where they may."""
    with ExitStack() as stack, log.open("w") as out:
        for line in lines:
            words = [word for word in line.split() if word != "-d"]
            process = subprocess.Popen(_seeing(words), stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield


def _seeing(words: list[str]) -> list[str]:
    real, hidden = Path(sys.executable).resolve(), Path("/root")
    if not real.is_relative_to(hidden):
        return words
    top = hidden / real.relative_to(hidden).parts[0]
    script = (
        f"d=$(mktemp -d) && mount --bind {top} $d && mount -t tmpfs -o mode=755 none {hidden} && mkdir {top} "
        f'&& mount --bind $d {top} && exec "$@"'
    )
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]


def _as_nobody(*words: str) -> str:
    """What a program says that the service's user runs."""
    who = [f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    return run(["setpriv", *who, *words], cwd=Path("/")).said


def test_the_service_runs_as_its_user_and_gets_the_registry_alone(wish: bootstrap.Wish, made: dict) -> None:
    home, etc, url = wish.read().home, wish.web_folder, wish.web["url"]
    master, service = made["start"]
    assert "setpriv --reuid=nobody" in service
    access = Registry(wish.read().registry_url, home / "secrets.key")
    with access.session() as session:
        ada = Owner(name="ada")
        session.add(ada)
        session.flush()
        session.add(Role(owner_id=ada.id, name="sysadmin"))
        Credentials.of(access).store(session, "guest:1", "root", "s3cret")
    Sealing(home / "sealing.key").public()
    trust = ssl.create_default_context(cafile=str(etc / "ca.crt"))
    with _running([master, service], home / "log"), httpx.Client(verify=trust, base_url=f"{url}/api/v1") as client:
        for _ in deadline(60, 0.2):
            with suppress(httpx.TransportError):
                if client.get("/ready").status_code == 200:
                    break
        for _ in deadline(60, 0.5):  # PAM knows nobody of that name; that the master says so proves the identity
            answer = client.post("/login", json={"username": "no-such-person", "password": "x"}, timeout=60)
            if answer.status_code == 401:
                break
        assert client.get("/metrics").status_code == 200
        # what the service's user can read of the controller's home: the registry's own files
        readable = _as_nobody("find", str(home), "-type", "f", "-readable").splitlines()
        assert {Path(one).parent for one in readable if one.startswith("/")} <= {home / "registry"}
        assert str(home / "registry/registry.sqlite3") not in _as_nobody("ls", str(home))
        for secret in (home / "secrets.key", home / "ssh/controller", home / "sealing.key", etc / "identities"):
            assert "Permission denied" in _as_nobody("cat", str(secret)), secret
        for secret in (etc / "ca.key", wish.configuration / "master.d/corpus.conf"):
            assert "Permission denied" in _as_nobody("cat", str(secret)), secret
        # both write, whoever came first
        with access.session() as session:
            session.add(Owner(name="bob"))
        assert client.post("/login", json={"username": "x", "password": "x"}, timeout=60).status_code == 401
        log = (home / "log").read_text()
        assert "Traceback" not in log, log
    access.close()


def test_a_registry_in_the_home_moves_to_its_own_folder(wish: bootstrap.Wish, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="cm-", dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "salt").mkdir()
        without = replace(
            wish,
            settings={**wish.settings, "home": str(folder / "home")},
            web={},
            root=folder / "salt",
            configuration=folder / "etc/salt",
            web_folder=folder / "etc/corpus",
        )
        assert bootstrap.controller(without)["result"] is True
        settings = without.read()
        assert _mode(settings.home)[2] == 0o700
        before = Registry(settings.registry_url, settings.key_file)
        with before.session() as session:
            session.add(Owner(name="ada"))
        done = bootstrap.controller(replace(without, web=wish.web))
        assert done["result"] is True, done
        assert "registry's place" in done["changes"]
        assert not (settings.home / "registry.sqlite3").exists()
        after = Registry(replace(without, web=wish.web).read().registry_url, settings.key_file)
        with after.reading() as session:
            assert [one.name for one in session.query(Owner)] == ["ada"]
        before.close()
        after.close()


@pytest.mark.parametrize(
    ("web", "words"),
    [
        ({"url": "http://corpus.test"}, "https"),
        ({"url": "https://corpus.test/x"}, "https"),
        ({"listen": "::"}, "https"),
        ({"url": "https://corpus.test", "color": "blue"}, r"web\.color is not known"),
        ({"url": "https://corpus.test", "key": "/x"}, "set both"),
    ],
)
def test_what_cannot_be_is_refused(wish: bootstrap.Wish, web: dict, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        replace(wish, web=web)


def test_the_registry_does_not_stay_where_the_service_may_not_write(wish: bootstrap.Wish) -> None:
    settings = {**wish.settings, "registry_url": f"sqlite:///{wish.read().home}/registry.sqlite3"}
    with pytest.raises(ConfigurationError, match="leave registry_url out"):
        replace(wish, settings=settings)
