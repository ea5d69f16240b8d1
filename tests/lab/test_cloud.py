"""The story of a cloud: bare machines become nodes, guests appear on them, a project is pushed, served, moved, removed."""

import ctypes
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import cloud
from tests.lab.checks import is_whole, nothing_left
from tests.lab.cloud import ZONE, Cloud
from tests.machine import CHECKOUT, IDENTITY, Ended, deadline, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

FLASK = CHECKOUT / "examples/flask"
#: The guests reach no network: what the application needs is brought along.
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/srv/wheels",
    "UV_OFFLINE": "1",
    "UV_FIND_LINKS": "/srv/wheels",
}
SETTINGS = {"installer": "python", "healthcheck": {"path": "/health", "timeout": 5}}


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    """A cloud of two compute nodes, which get the golden image when it is built."""
    with cloud.running() as made:
        made.nodes()
        yield made


@dataclass(frozen=True)
class Shop:
    """A project on a guest, and its people's clone of it."""

    lab: Cloud
    name: str
    tree: Path

    @property
    def host(self) -> str:
        return f"{self.name}.{ZONE}"

    @property
    def infos(self) -> dict[str, Any]:
        return dict(self.lab.ok("mc_guest.infos", self.name))

    def reached(self) -> tuple[str, str]:
        """The node's address, and its port that leads to the guest's ssh."""
        return self.lab.resolved(self.host)[0], str(self.infos["ssh_port"])

    def ssh(self, *words: str) -> Ended:
        """Run something in the guest, through the node's port."""
        address, port = self.reached()
        return run(["ssh", *self.lab.ssh_options(), "-p", port, f"root@{address}", *words])

    def push(self, version: str) -> Ended:
        """Commit another version and push it."""
        (self.tree / "VERSION").write_text(f"{version}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", version)
        address, port = self.reached()
        words = " ".join(["ssh", *self.lab.ssh_options()])
        url = f"ssh://{self.name}@{address}:{port}/srv/projects/{self.name}/git/project.git"
        return run(["git", "-C", str(self.tree), "push", url, "HEAD:main"], env={"GIT_SSH_COMMAND": words, **IDENTITY})

    def git(self, *words: str) -> None:
        ended = run(["git", "-C", str(self.tree), *words], env=IDENTITY)
        assert ended.status == 0, ended.said

    def bring(self, wheels: Path) -> None:
        """Copy what the application needs into the guest."""
        address, port = self.reached()
        words = ["scp", "-q", *self.lab.ssh_options(), "-P", port, "-r", str(wheels), f"root@{address}:/srv/wheels"]
        ended = run(words)
        assert ended.status == 0, ended.said

    def serves(self, version: str) -> None:
        """Its page, by its name, through the node's proxy."""
        for _ in deadline(30):
            status, text = self.lab.page(self.host)
            if (status, f"Version {version}" in text) == (200, True):
                return


@pytest.fixture(scope="module")
def wheels(lab: Cloud) -> Path:
    """The Python packages of the application."""
    folder = lab.folder / "wheels"
    words = ["--quiet", "--only-binary=:all:", "--python-version=3.11", "--no-deps", f"--dest={folder}"]
    ended = run([sys.executable, "-m", "pip", "download", *words, f"--requirement={FLASK}/requirements.txt"])
    assert ended.status == 0, ended.said
    return folder


def crypt(word: str, hashed: str) -> str:
    """A password's hash, by the settings of another one."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return str(library.crypt(word.encode(), hashed.encode()).decode())


def shop(lab: Cloud, name: str, wheels: Path, node: str = "node1") -> Shop:
    """A guest with a project, whose first version is served."""
    report = lab.guest(name, node, project=name, settings=SETTINGS)
    tell(report)
    tree = lab.folder / f"tree-{name}"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(FLASK, tree)
    made = Shop(lab, name, tree)
    made.git("init", "--quiet", "--initial-branch=main")
    variables = lab.folder / f"{name}.env"
    variables.write_text("".join(f"{key}={value}\n" for key, value in OFFLINE.items()))
    lab.ok("mc_project.env_set", name, str(variables))
    made.bring(wheels)
    pushed = made.push("1.0.0")
    assert pushed.status == 0, pushed.said
    made.serves("1.0.0")
    return made


def tell(report: dict[str, Any]) -> None:
    """Print the seconds of each step."""
    print(f"\n{report['kind']} of {report['name']}: {report['seconds']:.1f} s")
    for step in report["steps"]:
        print(f"  {step['seconds']:6.2f} s  {step['name']}")


@pytest.fixture
def traveller(lab: Cloud) -> Iterator[str]:
    """A guest on the first node."""
    lab.guest("nomad")
    yield "nomad"
    lab.ok("mc_guest.delete", "nomad", confirm="nomad")
    nothing_left(lab, "nomad")


def test_a_machine_that_cannot_be_a_node_is_told_why_and_left_alone(lab: Cloud) -> None:
    said = lab.refused("mc_compute_node.init", "127.0.0.1", "staging", port=1, name="nowhere", identity=str(lab.key))
    assert "No ssh server answers at 127.0.0.1, port 1." in said
    assert "nowhere" not in str(lab.ok("mc_compute_node.list"))


def test_nodes_are_listed_and_named(lab: Cloud) -> None:
    listed = lab.ok("mc_compute_node.list")
    assert sorted(listed) == [f"node1.{ZONE}", f"node2.{ZONE}"]
    for machine in lab.machines:
        told = listed[f"{machine.hostname}.{ZONE}"]
        assert (told["state"], told["guests"], told["guest_types"]) == ("ready", 0, ["lxc"])
        assert told["memory"] > 0
        assert told["storage"]["free"] > 0
        assert lab.resolved(f"any.{machine.hostname}.{ZONE}") == [machine.address]
        assert lab.resolved(f"any.{machine.hostname}.{ZONE}", "AAAA") == [machine.address6]
        assert lab.salt(f"{machine.hostname}.{ZONE}", "test.ping").status == 0
    subjects = [str(mail["Subject"]) for mail in lab.mails.received]
    assert sorted(subjects) == [f"The compute node {machine.hostname}.{ZONE} is ready" for machine in lab.machines]
    # Asked again, nothing changes.
    again = lab.node(lab.machines[0])
    assert again["result"]
    assert sorted(lab.ok("mc_compute_node.list")) == sorted(listed)


def test_an_image_that_is_built_comes_to_all_nodes(lab: Cloud) -> None:
    assert "no image 'debian'" in lab.refused("mc_guest.create", "node1", "early")
    report = lab.ok("mc_compute_node.image_build", sync=True)
    tell(report)
    (built,) = lab.ok("mc_compute_node.image_list")
    name = f"{built['name']}-{built['version']}"
    assert report["changes"] == {"image": name, "nodes": {f"node{number}.{ZONE}": [name] for number in (1, 2)}}
    for machine in lab.machines:
        assert lab.ok("mc_compute_node.infos", machine.hostname)["images"] == [name]
        minion = f"{machine.hostname}.{ZONE}"
        assert json.loads(lab.salt(minion, "mc_lxc.images").output) == {minion: [name]}
    assert lab.ok("mc_compute_node.image_build", sync=True)["changes"] == {"image": name, "nodes": {}}
    assert lab.ok("mc_compute_node.image_sync", "node1")["changes"] == {}


@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_story(lab: Cloud, wheels: Path, turn: str) -> None:
    """From nothing to a page, and back to nothing."""
    mine = shop(lab, "shop", wheels)
    infos = mine.infos
    assert infos["node"] == f"node1.{ZONE}"
    assert mine.ssh("hostname").output.strip() == "shop"

    hashed = mine.ssh("getent", "shadow", "root").output.split(":")[1]
    shown = lab.ok("mc_guest.redeem", lab.ok("mc_guest.credentials", "shop")["link"])
    assert crypt(shown["value"], hashed) == hashed
    assert shown["value"] not in "".join(mail.as_string() for mail in lab.mails.received)
    again = lab.guest("shop", project="shop", settings=SETTINGS)
    assert {step["state"] for step in again["steps"] if step["name"] in ("container", "minion")} == {"skipped"}

    bad = mine.push("2.0.0-broken")
    assert bad.status != 0
    assert "/health answers 500" in bad.said
    mine.serves("1.0.0")

    lab.ok("mc_guest.enlarge", "shop", "+1G")
    assert mine.infos["live"]["limit"] == 3 << 30
    assert "cannot be trimmed" in lab.refused("mc_guest.trim", "shop", "100M")
    lab.ok("mc_guest.trim", "shop", size="-512M")
    assert (mine.infos["size"], mine.infos["live"]["limit"]) == (5 << 29, 5 << 29)

    lab.ok("mc_guest.snapshot", "shop", "good")
    assert list(lab.ok("mc_guest.snapshots", "shop")) == ["good"]
    mine.ssh("sh", "-c", "'rm -rf /srv/projects/shop/project; systemctl stop corpus-*'")
    assert lab.page(mine.host)[0] != 200
    lab.ok("mc_guest.restore", "shop", "good")
    mine.serves("1.0.0")

    planned = lab.ok("mc_guest.move", "shop", "node2", test=True)
    assert "leave its snapshots behind" in planned["comment"]
    moved = lab.ok("mc_guest.move", "shop", "node2")
    assert moved["changes"]["leave its snapshots behind"].endswith("removed with the container here: good")
    tell(moved)
    print(f"  away for {moved['facts']['downtime']} s")
    assert lab.resolved(mine.host) == [lab.machines[1].address]
    mine.serves("1.0.0")
    assert lab.machines[0].remains("shop") == ""
    better = mine.push("3.0.0")
    assert better.status == 0, better.said
    mine.serves("3.0.0")

    deleted = lab.ok("mc_guest.delete", "shop", confirm="shop")
    tell(deleted)
    nothing_left(lab, "shop")


def test_a_node_gets_keys_and_names_and_drains(lab: Cloud) -> None:
    key = lab.folder / "ada"
    made = run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@laptop", "-f", str(key)])
    assert made.status == 0, made.said
    public = key.with_suffix(".pub").read_text().strip()
    options = [word if word != str(lab.key) else str(key) for word in lab.ssh_options()]
    words = ["ssh", *options, f"root@{lab.machines[1].address}", "hostname"]
    assert run(words).status == 255
    lab.ok("mc_compute_node.add_key", "node2", public)
    assert run(words).output.strip() == "node2"
    assert "ada@laptop" in lab.ok("mc_compute_node.infos", "node2")["keys"].values()
    lab.ok("mc_compute_node.remove_key", "node2", "ada@laptop")
    assert run(words).status == 255

    lab.ok("mc_compute_node.link_dns", "node2", f"eu.{ZONE}")
    assert lab.resolved(f"eu.{ZONE}") == [lab.machines[1].address]

    lab.ok("mc_compute_node.drain", "node2")
    assert "takes no guests" in lab.refused("mc_guest.create", "node2", "late")
    lab.ok("mc_compute_node.undrain", "node2")


def test_a_guest_is_stopped_started_named_and_asked(lab: Cloud, traveller: str) -> None:
    lab.ok("mc_guest.stop", traveller)
    assert lab.ok("mc_guest.infos", traveller)["live"]["state"] == "STOPPED"
    lab.ok("mc_guest.start", traveller)
    lab.ok("mc_guest.restart", traveller)
    is_whole(lab, traveller)
    assert lab.ok("mc_guest.exec", traveller, "hostname")["stdout"].strip() == traveller
    for name in (f"www.{ZONE}", "www.example.net"):  # the second one is in no zone of ours
        lab.ok("mc_guest.link_dns", traveller, name)
    assert lab.resolved(f"www.{ZONE}") == [lab.machines[0].address]
    served = json.loads(lab.salt(f"node1.{ZONE}", "mc_node.served").output)[f"node1.{ZONE}"]
    assert {f"www.{ZONE}", "www.example.net"} <= set(served["http"])
    assert "taken already" in lab.refused("mc_guest.link_dns", traveller, f"node1.{ZONE}")
    for name in (f"www.{ZONE}", "www.example.net"):
        lab.ok("mc_guest.unlink_dns", traveller, name)
    assert lab.resolved(f"www.{ZONE}") == []
