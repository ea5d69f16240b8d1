"""A release goes from staging to production over ssh: verified there, deployed there, and refused when it must be."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.machine import Machine, run
from tests.sshd import Door, opened

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="making users needs root")

#: fails in production alone
ONLY_STAGING = (
    "{% if cfg.default_env == 'prod' %}\nbroken:\n  test.fail_without_changes:\n    - comment: not here\n{% endif %}\n"
)


@pytest.fixture(scope="module")
def door(machine: Machine) -> Iterator[Door]:
    with opened(machine.folder / "sshd") as door:
        yield door


@pytest.fixture
def staging(machine: Machine, tmp_path: Path) -> Iterator[Machine]:
    """Another machine, where nginx can walk to its files, too."""
    made = Machine(machine.folder / f"staging-{tmp_path.name}")
    yield made
    made.stop()


@pytest.fixture
def name(machine: Machine) -> Iterator[str]:
    """The name of a project that is on both machines."""
    name = f"promo{os.getpid()}"
    yield name
    machine.call("mc_project.destroy_project", name, confirm=name)


def test_a_release_is_handed_over(machine: Machine, staging: Machine, door: Door, name: str) -> None:
    staging.init(name, installer="static")
    tree = staging.work_tree(name, {"public/index.html": "first"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    public = (staging.project(name) / "home/.ssh/id_ed25519.pub").read_text().strip()
    signs = staging.ok("mc_project.status", name)["release_key"]
    to = f"{name}@127.0.0.1:{door.port}"
    port = machine.init(
        name, operation_mode="final", user=name, release_keys=[public], trusted_keys=[signs], document_root="public"
    )["http_port"]
    incoming = machine.project(name) / ".corpus/incoming"

    # whom we talk to must be known
    assert "The host key of 127.0.0.1 is not known" in staging.refused("mc_project.promote", name, to=to)
    (staging.project(name) / "home/.ssh/known_hosts").write_text(door.host_key)

    promoted = staging.call("mc_project.promote", name, to=to)
    assert promoted.status == 0, promoted.said
    assert machine.page(port) == (200, "first")
    for words in ("MB sent", "received and verified", "ok release_sync", "signed by corpus-", "=====> Deployed"):
        assert words in promoted.errors, promoted.errors
    assert machine.ok("mc_project.history", name)[0]["who"] == f"corpus-{name} from 127.0.0.1"
    verified = machine.ok("mc_project.verify_release", name)
    assert verified["result"] is True
    assert {check["what"] for check in verified["checks"]} >= {"signature", "archive", "tree"}

    # the key hands releases over and can do nothing else
    key = door.key.parent / "staging"
    shutil.copy(staging.project(name) / "home/.ssh/id_ed25519", key)
    remote = f"ssh://{name}@127.0.0.1:{door.port}{machine.project(name)}/git/project.git"
    pushed = run(
        ["git", "push", remote, "HEAD:main"],
        cwd=tree.folder,
        env={"GIT_SSH_COMMAND": Door(door.port, key).git_env},
    )
    assert "This key hands releases over" in pushed.errors
    assert machine.page(port) == (200, "first")
    assert "uid=" not in Door(door.port, key).ssh(name, "id").said
    nonsense = run(["bash", "-c", f"echo nonsense | {Door(door.port, key).git_env} {name}@127.0.0.1 receive-release"])
    assert nonsense.status != 0
    assert "What came is no release" in nonsense.said

    # a version that production does not bear: refused there, and told here
    tree.commit({"public/index.html": "second", ".salt/post_install.sls": ONLY_STAGING})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    failed = staging.call("mc_project.promote", name, to=to)
    assert failed.status != 0
    assert "did not take the release: Stage post_install failed: " in failed.errors, failed.errors
    assert "not here" in failed.errors
    assert "ok rollback" in failed.errors, failed.errors
    assert "FAILED notify" not in failed.errors, failed.errors
    assert machine.page(port) == (200, "first")
    assert machine.ok("mc_project.deploy_project", name)["result"] is True, (
        "what was promoted last runs, not what failed"
    )
    assert machine.page(port) == (200, "first")

    # cut short, it goes on where it stopped; kept, it is not sent again; without a deployment nothing changes
    tree.commit(
        {"public/index.html": "third", ".salt/post_install.sls": "# nothing\n", "big": os.urandom(3 << 20).hex()}
    )
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    release = staging.releases(name)[0]
    archive = staging.project(name) / "releases/deployed" / release["release"] / release["artifacts"][0]
    half = incoming / f".half-{release['release']}"
    half.mkdir()
    (half / archive.name).write_bytes(archive.read_bytes()[: 2 << 20])
    kept = staging.call("mc_project.promote", name, to=to, deploy=False)
    assert kept.status == 0, kept.said
    assert "going on after 2.1 MB" in kept.errors
    assert machine.page(port) == (200, "first")
    assert (incoming / release["release"] / archive.name).read_bytes() == archive.read_bytes()
    again = staging.call("mc_project.promote", name, to=to)
    assert again.status == 0, again.said
    assert "the other side has it already" in again.errors
    assert machine.page(port) == (200, "third")

    # damaged here: not even sent
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-1] + b"x")
    assert "is not what was released" in staging.refused("mc_project.promote", name, to=to)
    archive.write_bytes(whole)

    # a key that production does not trust: refused before the archive is sent, nothing is kept
    key = staging.folder / "other"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    staging.ok("mc_project.bundle", name, sign_with=str(key))
    before = sorted(path.name for path in incoming.iterdir())
    refused = staging.call("mc_project.promote", name, to=to)
    assert refused.status != 0
    assert "which is none of the trusted_keys" in refused.errors
    assert "MB sent" not in refused.errors
    assert sorted(path.name for path in incoming.iterdir()) == before

    # only final mode takes releases
    machine.ok("mc_project.set_configuration", name, operation_mode="cooking")
    assert "is in cooking mode here" in staging.refused("mc_project.promote", name, to=to)


class _Shelf(SimpleHTTPRequestHandler):
    """A web server that takes files."""

    def do_PUT(self) -> None:
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_release_is_put_where_it_can_be_fetched(machine: Machine, staging: Machine, tmp_path: Path) -> None:
    name = "shelved"
    staging.init(name, installer="static")
    tree = staging.work_tree(name, {"public/index.html": "from the shelf"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    signs = staging.ok("mc_project.status", name)["release_key"]
    port = machine.init(name, operation_mode="final", document_root="public", trusted_keys=[signs])["http_port"]
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Shelf, directory=str(shelf))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        put = staging.ok("mc_project.promote", name, to=f"http://127.0.0.1:{server.server_port}/put")
        assert machine.ok("mc_project.verify_release", name, url=put["url"])["result"] is True
        assert machine.ok("mc_project.deploy_project", name, release_artifacts_urls=[put["url"]])["result"] is True
        assert machine.page(port) == (200, "from the shelf")
        server.shutdown()
    copied = staging.ok("mc_project.promote", name, to=shelf.as_uri())
    folder = shelf / staging.releases(name)[0]["release"]
    assert copied["url"].startswith(folder.as_uri())
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "manifest.json.sig",
        "sbom.cdx.json",
        Path(copied["url"]).name,
    }
    assert json.loads((folder / "sbom.cdx.json").read_text())["specVersion"] == "1.6"
    assert machine.ok("mc_project.verify_release", name, url=copied["url"])["result"] is True
    (folder / "sbom.cdx.json").write_text("{}")
    bad = machine.call("mc_project.verify_release", name, url=copied["url"])
    assert bad.status == 1
    assert "sbom.cdx.json is not what was released" in bad.answer["comment"]
    for to in ("", "ftp://h/x", "-oProxyCommand=id@h", "a b", "user@", "host:99999", "file://relative"):
        assert "is no place for a release" in staging.refused("mc_project.promote", name, to=to), to
    assert "was not bundled here" in staging.refused(
        "mc_project.promote", name, release="20260101T000000Z-00000000", to="host"
    )
