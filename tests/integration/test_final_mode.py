"""Final mode: production runs what staging released, verified, and nothing else."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from corpus.project.keeping import signature

from tests.machine import CHECKOUT, Ended, Machine, WorkTree, run


@pytest.fixture
def staging() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # its web front has a user of its own
        made = Machine(Path(folder) / "staging")
        yield made
        made.stop()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a web server has it."""
    folder = tmp_path / "web"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def archive(path: Path, *members: tuple[str, str | None]) -> str:
    """Write a tar.gz: members with content, or links where the content begins with ``->``; return its sha256."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is not None and content.startswith("->"):
                info.type, info.linkname = tarfile.SYMTYPE, content[2:]
                tar.addfile(info)
            else:
                data = (content or "").encode()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def released(staging: Machine, tree_files: dict[str, str], name: str) -> Path:
    """Cook a release on the staging machine; return its archive."""
    staging.init(name)
    tree = staging.work_tree(name, tree_files)
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    (release,) = staging.releases(name)
    return staging.project(name) / "releases/deployed" / release["release"] / release["artifacts"][0]


def test_what_was_cooked_is_what_production_runs(machine: Machine, staging: Machine, web: tuple[Path, str]) -> None:
    built = "built:\n  file.managed:\n    - name: {{ cfg.project_root }}/public/built\n    - contents: by staging\n"
    bundle = released(
        staging, {"public/index.html": "released", ".salt/build.sls": built, "run.sh": "#!/bin/sh\n"}, "prod"
    )
    # by file, the manifest beside the archive vouches for it
    port = machine.init(
        "prod", operation_mode="final", document_root="public", release_artifacts_urls=[f"file://{bundle}"]
    )["http_port"]
    report = machine.ok("mc_project.deploy_project", "prod")
    assert report["result"] is True
    assert report["stages"]["build"]["result"] is None
    assert report["stages"]["bundle"]["result"] is None
    assert bundle.name in report["stages"]["release_sync"]["comment"]
    assert machine.page(port) == (200, "released")
    assert machine.page(port, "/built") == (200, "by staging\n")
    manifest = json.loads((bundle.parent / "manifest.json").read_text())

    def content() -> dict[str, str]:
        root = machine.project("prod") / "project"
        paths = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.relative_to(root).parts[:1]]
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    assert content() == {path: about["sha256"] for path, about in manifest["files"].items()}

    # by http; what is pushed to production and not part of the release is gone, what was put there as well
    folder, address = web
    for path in bundle.parent.iterdir():
        shutil.copy(path, folder) if path.is_file() else None
    machine.ok("mc_project.set_configuration", "prod", release_artifacts_urls=[f"{address}/{bundle.name}"])
    (machine.project("prod") / "project/left-behind").write_text("x")
    tree = machine.work_tree("prod", {"public/index.html": "not released", "extra/file": "x"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert content() == {path: about["sha256"] for path, about in manifest["files"].items()}
    assert machine.page(port) == (200, "released")


def test_artifacts_that_are_not_what_they_should_be(machine: Machine, web: tuple[Path, str], tmp_path: Path) -> None:
    """A wrong sum, members and links that lead out, a cut archive: refused, and the old page stays."""
    folder, address = web
    good = archive(folder / "good.tar.gz", ("public/index.html", "good"), ("inner", "->public/index.html"))
    port = machine.init(
        "strict",
        operation_mode="final",
        document_root="public",
        release_artifacts_urls=[f"{address}/good.tar.gz#sha256={good}"],
    )["http_port"]
    assert machine.ok("mc_project.deploy_project", "strict")["result"] is True
    assert machine.page(port) == (200, "good")

    escaped = machine.project("strict") / "escaped"
    page = ("public/index.html", "bad")
    sums = {
        "dots": archive(folder / "dots.tar.gz", page, ("../escaped", "x")),
        "absolute": archive(folder / "absolute.tar.gz", page, (str(escaped), "x")),
        "link": archive(folder / "link.tar.gz", page, ("out", "->../../.."), ("out/escaped", "x")),
    }
    whole = (folder / "good.tar.gz").read_bytes()
    (folder / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    sums["cut"] = hashlib.sha256((folder / "cut.tar.gz").read_bytes()).hexdigest()
    for name, url, words in (
        ("wrong sum", f"good.tar.gz#sha256={'0' * 64}", "is not what was released: its sha256 is"),
        ("dots", f"dots.tar.gz#sha256={sums['dots']}", "is refused"),
        ("absolute", f"absolute.tar.gz#sha256={sums['absolute']}", "is refused"),
        ("link", f"link.tar.gz#sha256={sums['link']}", "is refused"),
        ("cut", f"cut.tar.gz#sha256={sums['cut']}", "is damaged or cut short"),
    ):
        ended = machine.call("mc_project.deploy_project", "strict", release_artifacts_urls=[f"{address}/{url}"])
        assert ended.status == 1, (name, ended.said)
        assert ended.answer["comment"].startswith("Stage release_sync failed: "), (name, ended.said)
        assert words in ended.answer["comment"], (name, ended.said)
        assert "Traceback" not in ended.said
        assert not escaped.exists()
    assert machine.page(port) == (200, "good")
    assert machine.ok("mc_project.deploy_project", "strict")["result"] is True  # and it deploys again


@pytest.fixture
def cut_off() -> Iterator[Callable[[list[str]], Ended]]:
    """Run programs where the network is cut: they reach one another by loopback, and nothing else."""
    room = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert room.stdout is not None
    assert room.stdout.readline() == "ready\n"
    yield lambda argv: run(["nsenter", f"--net=/proc/{room.pid}/ns/net", *argv])
    room.kill()
    room.wait()


#: the page of the application that is built, and the Node that serves it
SAYS_NODE = """const http = require("http");
const page = require("fs").readFileSync("page.txt", "utf8");
http.createServer((request, response) => response.end(`${process.version} says ${page}`)).listen(process.env.PORT, process.env.HOST);
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="cutting the network needs root")
@pytest.mark.parametrize(
    ("name", "like", "more", "page"),
    [
        ("shop", "examples/flask", {}, "1.0.0"),
        ("desk", "tests/apps/express", {}, "node says 1d in production"),
        # its Node is another than the machine's, and travels with it
        (
            "mill",
            "tests/apps/built",
            {".nvmrc": "v22.11.0\n", "server.js": SAYS_NODE},
            "v22.11.0 says built with is-number",
        ),
    ],
    ids=["python", "nodejs", "own-node"],
)
def test_an_application_goes_to_production_without_a_build_or_a_network(
    machine: Machine,
    cut_off: Callable[[list[str]], Ended],
    tmp_path: Path,
    name: str,
    like: str,
    more: dict[str, str],
    page: str,
) -> None:
    """The same name at the same place: there its dependencies work as staging built them."""
    machine.init(name)
    tree = machine.work_tree(name, more, like=CHECKOUT / like)
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    release = machine.releases(name)[0]
    cooked = machine.project(name) / "releases/deployed" / release["release"]
    for path in cooked.iterdir():
        shutil.copy(path, tmp_path) if path.is_file() else None
    signs = machine.ok("mc_project.status", name)["release_key"]
    machine.ok("mc_project.destroy_project", name, confirm=name)

    settings = machine.init(
        name,
        operation_mode="final",
        trusted_keys=[signs],
        release_artifacts_urls=[f"file://{tmp_path}/{release['artifacts'][0]}"],
    )
    interfaces = cut_off(["ip", "-brief", "link"]).output.splitlines()
    assert [row.split()[0] for row in interfaces] == ["lo"]
    machine.stop()  # what runs from here on was started without a network
    try:
        ended = cut_off(machine.argv("mc_project.deploy_project", name))
        assert ended.status == 0, ended.said
        done = ended.answer
        assert done["stages"]["build"]["result"] is None
        assert "verified" in done["stages"]["release_sync"]["comment"]
        fetching = "import sys, urllib.request as web; print(web.urlopen(sys.argv[1], timeout=10).read().decode())"
        seen = cut_off([sys.executable, "-c", fetching, f"http://127.0.0.1:{settings['http_port']}/"])
        assert seen.status == 0, seen.said
        assert page in seen.output
        assert machine.page(settings["http_port"])[0] == 0, "it runs where the network is cut"
        verified = machine.ok("mc_project.verify_release", name)
        assert verified["result"] is True, verified
        checks = {check["what"]: check["comment"] for check in verified["checks"]}
        assert set(checks) == {"signature", "archive", "bill of materials", "tree"}
        assert checks["tree"].endswith("are those of the release"), "nothing beside the release was made"
    finally:
        machine.stop()


def test_a_release_that_was_tampered_with(machine: Machine, staging: Machine, tmp_path: Path) -> None:
    """Whatever somebody changes on the way to production: refused with the reason, and the old page stays."""
    first = released(staging, {"public/index.html": "first"}, "sealed")
    signs = staging.ok("mc_project.status", "sealed")["release_key"]
    port = machine.init(
        "sealed",
        operation_mode="final",
        document_root="public",
        trusted_keys=[signs],
        release_artifacts_urls=[first.as_uri()],
    )["http_port"]
    assert machine.ok("mc_project.deploy_project", "sealed")["result"] is True
    assert machine.page(port) == (200, "first")

    tree = WorkTree(staging, "sealed", staging.folder / "people/sealed")
    tree.commit({"public/index.html": "second"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    release = staging.releases("sealed")[0]
    second = staging.project("sealed") / "releases/deployed" / release["release"] / release["artifacts"][0]
    stranger = tmp_path / "stranger_key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)])

    def one_byte(path: Path, before: bytes | None = None) -> None:
        """Change a byte in the middle of a file, or the last one of the first ``before``."""
        content = bytearray(path.read_bytes())
        place = content.index(before) + len(before) - 1 if before else len(content) // 2
        content[place] ^= 1
        path.write_bytes(content)

    def signed_by_a_stranger(folder: Path) -> None:
        (folder / "manifest.json.sig").unlink()
        signature.sign(folder / "manifest.json", stranger)

    series: list[tuple[str, Callable[[Path], object], str]] = [
        ("archive", lambda at: one_byte(at / second.name), f"{second.name} is not what was released: its sha256 is"),
        ("sbom", lambda at: one_byte(at / "sbom.cdx.json"), "sbom.cdx.json is not what was released: its sha256 is"),
        ("manifest", lambda at: one_byte(at / "manifest.json", b'"0644'), "its signature is not of this manifest"),
        ("stranger", signed_by_a_stranger, "which is none of the trusted_keys"),
        (
            "other",
            lambda at: shutil.copy(first.parent / "manifest.json.sig", at),
            "its signature is not of this manifest",
        ),
        (
            "unsigned",
            lambda at: (at / "manifest.json.sig").unlink(),
            "it is not signed, and only signed releases are taken",
        ),
    ]
    for name, tamper, words in series:
        folder = tmp_path / name
        shutil.copytree(second.parent, folder, ignore=lambda at, names: [n for n in names if (Path(at) / n).is_dir()])
        tamper(folder)
        # a sum in the url vouches for an archive only where no signature is required
        told = hashlib.sha256((folder / second.name).read_bytes()).hexdigest()
        url = f"{(folder / second.name).as_uri()}#sha256={told}"
        ended = machine.call("mc_project.deploy_project", "sealed", release_artifacts_urls=[url])
        assert ended.status == 1, (name, ended.said)
        assert ended.answer["comment"].startswith("Stage release_sync failed: "), (name, ended.said)
        assert words in ended.answer["comment"], (name, ended.said)
        assert "Traceback" not in ended.said
        assert machine.page(port) == (200, "first"), name

    # as it was released, it is taken: nothing else was wrong with it
    done = machine.ok("mc_project.deploy_project", "sealed", release_artifacts_urls=[second.as_uri()])
    assert "signed by corpus-sealed" in done["stages"]["release_sync"]["comment"]
    assert machine.page(port) == (200, "second")

    # back to the first: its sls and those of the installer that it brought are found where its tree stands now
    back = machine.ok("mc_project.rollback", "sealed")
    assert {name: about["result"] for name, about in back["stages"].items()} == dict.fromkeys(back["stages"], True)
    assert set(back["stages"]) >= {"rollback", "notify"}
    assert machine.page(port) == (200, "first")


def test_a_release_of_another_installer_is_refused(machine: Machine, staging: Machine) -> None:
    """Production may name no installer, or that of the release, by its name or as a path in .salt; never another."""
    staging.init("named", installer="own", document_root="public")
    tree = staging.clone("named", staging.folder / "people/named")
    shutil.copytree(CHECKOUT / "projects/2/static", tree.folder / ".salt/own")
    tree.git("init", "--quiet", "--initial-branch=main")
    tree.commit({"public/index.html": "from staging"})
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    release = staging.releases("named")[0]
    bundle = staging.project("named") / "releases/deployed" / release["release"] / release["artifacts"][0]
    signs = staging.ok("mc_project.status", "named")["release_key"]
    given = {"operation_mode": "final", "trusted_keys": [signs], "release_artifacts_urls": [bundle.as_uri()]}
    port = machine.init("named", document_root="public", **given)["http_port"]
    assert machine.ok("mc_project.deploy_project", "named")["result"] is True
    assert machine.page(port) == (200, "from staging")
    for installer in ("auto", "own"):
        assert machine.ok("mc_project.deploy_project", "named", installer=installer)["result"] is True
    for installer in ("static", str(CHECKOUT / "projects/2/static"), "own/../own"):
        refused = machine.call("mc_project.deploy_project", "named", installer=installer)
        assert refused.status == 1, (installer, refused.said)
        words = f"the release was made with 'own', not {installer!r} (arguments): take that out."
        assert words in refused.answer["comment"], (installer, refused.said)
        assert machine.page(port) == (200, "from staging")
