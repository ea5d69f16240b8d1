"""The golden image, its guests, and how they become minions of a real master."""

import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from corpus.controller import access, images, preseed, runtime
from corpus.errors import CorpusError

from tests.lab import images as lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="LXC needs root"),
]


@pytest.fixture(scope="module")
def image() -> images.Image:
    return lab.image()


@pytest.fixture(scope="module")
def site(image: images.Image) -> Iterator[lab.Site]:
    lab.unpacked()
    with lab.site() as made:
        yield made


@pytest.fixture(scope="module")
def names(image: images.Image) -> dict[str, tarfile.TarInfo]:
    with (
        image.archive.open("rb") as packed,
        tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(packed), mode="r|") as archive,
    ):
        return {member.name: member for member in archive}


def test_an_image_of_the_same_pack_is_built_once(image: images.Image) -> None:
    began = time.monotonic()
    assert lab.image() == image
    assert time.monotonic() - began < 5


def test_an_image_has_no_keys_and_no_identity(names: dict[str, tarfile.TarInfo]) -> None:
    told = [name for name in names if not name.startswith("./usr/share/")]
    assert not [name for name in told if re.search(r"ssh_host_|pki/|authorized_keys|netrc$|pip\.conf|uv\.toml", name)]
    assert not [name for name in names if name.startswith(("./dev/", "./run/", "./tmp/", "./proc/", "./sys/"))]
    assert names["./etc/machine-id"].size == 0
    assert names["./etc/resolv.conf"].size == 0
    assert max(member.mtime for member in names.values()) <= runtime.EPOCH
    assert {"./opt/corpus/bin/salt-minion", "./opt/corpus/bin/uv", "./var/log/nginx"} <= set(names)


def test_an_image_does_not_tell_where_it_was_built(image: images.Image) -> None:
    root = lab.unpacked()
    told = [str(image.folder), str(runtime.tree.checkout()), "/tmp/corpus-pack-"]
    told += [value for name, value in os.environ.items() if name.endswith("INDEX_URL")]
    words = [word for text in told for word in ("-e", text)]
    found = subprocess.run(
        ["grep", "-rIlF", *words, root / "etc", root / "opt", root / "root", root / "usr/local", root / "var/lib/dpkg"],
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""


def test_the_runtime_is_the_same_when_it_is_made_again(image: images.Image, tmp_path_factory, monkeypatch) -> None:
    """What Debian gave is kept; Salt and the pack are installed and compiled anew, in the versions of that day."""
    folder = Path("/var/tmp") / f"corpus-again-{os.getpid()}"
    versions = tmp_path_factory.mktemp("versions") / "constraints.txt"
    pinned = {name: version for name, version in image.python_packages.items() if name != "corpus-salt"}
    versions.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()))
    monkeypatch.setenv("UV_CONSTRAINT", str(versions))
    try:
        subprocess.run(["cp", "-a", lab.unpacked(), folder], check=True)
        runtime.install(folder, print)
        assert runtime.install_pack(folder, print) == image.python_packages
        (folder / "opt/corpus/.runtime").write_text(f"{image.version}\n")
        programs = [f"usr/local/bin/{path.name}" for path in sorted((folder / "usr/local/bin").iterdir())]
        unit = "etc/systemd/system/salt-minion.service"
        packed = runtime.pack(folder, tmp_path_factory.mktemp("again") / "x", "opt/corpus", unit, *programs)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)
    assert f"sha256:{packed.digest}" == preseed.runtime_of(image.runtime)["digest"]


def test_a_guest_is_a_minion_within_seconds(image: images.Image, site: lab.Site) -> None:
    guest = site.container("first")
    keys, host_key = preseed.new_keys(), access.new_key()
    operator = (site.folder / "operator.pub").read_text()
    files = preseed.files(
        "first.corpus.test", keys, site.master, authorized=[operator], host_key=host_key, nameservers=["192.0.2.53"]
    )
    preseed.accept(site.master, "first.corpus.test", keys.public)
    with site.heard("first.corpus.test"):
        began = time.monotonic()
        guest.start(files)
    took = time.monotonic() - began
    assert site.answer("first.corpus.test", "test.ping") is True
    print(f"{took:.1f} seconds")
    assert took < 60  # a few on a machine that does nothing else
    assert guest.settled() == "running"
    told = json.loads(guest.target(host_key.public).run("cat", images.TOLD_AT).output)
    assert told == {"name": image.name, "version": image.version, "suite": image.suite}
    assert site.answer("first.corpus.test", "mc_project.list_projects") == {}
    states = site.answer("first.corpus.test", "state.apply", "corpus.guest")
    assert all(state["result"] for state in states.values()), states
    assert not [state["__id__"] for state in states.values() if state["changes"]]  # an image has it all
    assert guest.run("cat", "/etc/resolv.conf").output == "nameserver 192.0.2.53\n"
    assert guest.run("runuser", "-u", "nobody", "--", "test", "-r", "/etc/resolv.conf").status == 0
    assert guest.run("runuser", "-u", "nobody", "--", "test", "-r", "/etc/salt/minion").status != 0


def test_an_image_is_sent_to_a_machine_once(image: images.Image, site: lab.Site) -> None:
    node = site.container("node")
    node.start({"/root/.ssh/authorized_keys": (site.folder / "operator.pub").read_text()})
    assert node.settled() == "running"
    target = node.target()
    assert images.send(image, target, test=True)[1]
    path, sent = images.send(image, target)
    assert (path, sent) == (f"{images.INBOX}/{image.archive.name}", True)
    assert images.send(image, target) == (path, False)
    target.run("truncate", "-s", "1000", path)
    assert images.send(image, target) == (path, True)
    assert node.run("sha256sum", path).output.split()[0] == image.digest.removeprefix("sha256:")


def test_guests_have_identities_of_their_own(site: lab.Site) -> None:
    first, node = site.containers[:2]
    for path in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
        assert first.run("cat", path).output.split()[:2] != node.run("cat", path).output.split()[:2]
    assert node.run("systemctl", "is-active", "salt-minion").output.strip() == "inactive"  # nobody seeded it


def test_a_machine_that_exists_becomes_a_minion_over_one_connection(
    image: images.Image, site: lab.Site, tmp_path: Path
) -> None:
    node = site.containers[1]
    target = node.target()
    target.run("rm", "-rf", "/opt/corpus", "/etc/systemd/system/salt-minion.service", "/usr/local/bin/salt-minion")
    keys = preseed.new_keys()
    files = preseed.files("node.corpus.test", keys, site.master)
    preseed.accept(site.master, "node.corpus.test", keys.public)
    with pytest.raises(CorpusError, match="has no Salt of ours"):
        preseed.seed(target, files)
    other = tmp_path / "x.runtime.tar.zst"
    other.touch()
    (tmp_path / "x.runtime.json").write_text(json.dumps({"version": "x", "python": "3.99", "machine": image.machine}))
    with pytest.raises(CorpusError, match=r"has Python 3\.[0-9]+, and the runtime is for 3\.99"):
        preseed.seed(target, files, other)
    modes = ["stat", "--format=%a%n", "/", "/etc", "/root", "/opt", "/usr/local/bin"]
    before = node.run(*modes).output
    assert preseed.seed(target, files, image.runtime) == "started by systemd"
    assert node.run(*modes).output == before
    assert site.answer("node.corpus.test", "test.ping") is True
    again = preseed.files("renamed.corpus.test", keys, site.master)
    preseed.accept(site.master, "renamed.corpus.test", keys.public)
    preseed.forget(site.master, "node.corpus.test")
    preseed.seed(target, again, image.runtime)
    assert site.answer("renamed.corpus.test", "test.ping") is True
