"""The story of a cloud: bare machines become nodes, guests appear on them, a project is pushed, served, moved, removed."""

import contextlib
import ctypes
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import cloud
from tests.lab.cloud import ZONE, BareMachine, Cloud
from tests.machine import CHECKOUT, IDENTITY, Ended, deadline, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

FLASK = CHECKOUT / "examples/flask"
#: The guests reach no network: what the application needs is brought along.
OFFLINE = dict.fromkeys(("PIP_NO_INDEX", "UV_NO_INDEX"), "1") | dict.fromkeys(
    ("PIP_FIND_LINKS", "UV_FIND_LINKS"), "/srv/wheels"
)
SETTINGS = {"installer": "python", "healthcheck": {"path": "/health", "timeout": 5}, "env": OFFLINE}


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    """A cloud of two compute nodes."""
    folder = Path(tempfile.mkdtemp(prefix="cc-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        with cloud.running(folder) as made:
            made.bring_image()
            for machine in made.machines:
                made.node(machine)
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def created(lab: Cloud, name: str, node: str = "node1", **settings: Any) -> dict[str, Any]:
    public = lab.key.with_suffix(".pub").read_text().strip()
    return dict(lab.ok("mc_guest.create", node, name, size="2G", keys=[public], **settings))


def crypt(word: str, hashed: str) -> str:
    """A password's hash, by the settings of another one."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return str(library.crypt(word.encode(), hashed.encode()).decode())


def shop(lab: Cloud, name: str, wheels: Path, node: str = "node1") -> Shop:
    """A guest with a project, whose first version is served."""
    report = created(lab, name, node, project=name, settings=SETTINGS)
    tell(report)
    tree = lab.folder / f"tree-{name}"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(FLASK, tree)
    made = Shop(lab, name, tree)
    made.git("init", "--quiet", "--initial-branch=main")
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


def nothing_left(lab: Cloud, name: str) -> None:
    """Container, address, port, record, key, credential, proxy entry: all gone, on both nodes."""
    assert name not in lab.ok("mc_guest.list")
    assert lab.resolved(f"{name}.{ZONE}") == lab.resolved(f"www.{name}.{ZONE}") == []
    assert f"{name}.{ZONE}" not in lab.minions()
    for machine in lab.machines:
        assert remains(machine, name) == ""
    from corpus.controller.registry import models
    from sqlalchemy import select

    with lab.registry().reading() as session:
        nodes = {f"node:{uuid}" for uuid in session.scalars(select(models.ComputeNode.uuid))}
        guests = {f"guest:{uuid}" for uuid in session.scalars(select(models.Guest.uuid))}
        assert set(session.scalars(select(models.Credential.subject))) <= nodes | guests
        assert session.scalars(select(models.Reservation)).all() == []
        assert session.scalars(select(models.DnsName).where(models.DnsName.fqdn.contains(name))).all() == []
        assert session.scalars(select(models.SshKey).where(models.SshKey.guest_id.is_not(None))).all() == [] or guests


def remains(machine: BareMachine, name: str) -> str:
    """What a node still has of a guest."""
    script = (
        f"ls -d /srv/corpus/pool/containers/{name} /srv/corpus/pool/half/{name}* /srv/corpus/pool/snapshots/{name}"
        f" /run/corpus/seeds/{name}.json 2>/dev/null; grep -rlw {name} /etc/haproxy /etc/corpus /var/lib/corpus 2>/dev/null;"
        f" lxc-ls -P /srv/corpus/pool/containers -1 | grep -x {name}; true"
    )
    return machine.run("sh", "-c", script).output


@pytest.fixture
def traveller(lab: Cloud) -> Iterator[str]:
    """A guest on the first node."""
    created(lab, "nomad")
    yield "nomad"
    lab.ok("mc_guest.delete", "nomad", confirm="nomad")
    nothing_left(lab, "nomad")


def is_whole(lab: Cloud, name: str) -> None:
    """It is on one node and nowhere else, and answers there."""
    infos = lab.ok("mc_guest.infos", name)
    (here,) = [machine for machine in lab.machines if infos["node"] == f"{machine.hostname}.{ZONE}"]
    (elsewhere,) = [machine for machine in lab.machines if machine is not here]
    assert (infos["state"], infos["live"]["state"]) == ("running", "RUNNING")
    assert remains(elsewhere, name) == ""
    assert lab.resolved(f"{name}.{ZONE}") == [here.address]
    words = ["ssh", *lab.ssh_options(), "-p", str(infos["ssh_port"]), f"root@{here.address}", "hostname"]
    for _ in deadline(20, 0.5):
        if run(words).output.strip() == name:
            break
    assert lab.salt(f"{name}.{ZONE}", "test.ping").status == 0


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
    assert subjects == [f"The compute node {machine.hostname}.{ZONE} is ready" for machine in lab.machines]
    # Asked again, nothing changes.
    again = lab.node(lab.machines[0])
    assert again["result"]
    assert sorted(lab.ok("mc_compute_node.list")) == sorted(listed)


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
    again = created(lab, "shop", project="shop", settings=SETTINGS)
    assert {step["state"] for step in again["steps"] if step["name"] in ("container", "minion")} == {"skipped"}

    bad = mine.push("2.0.0-broken")
    assert bad.status != 0
    assert "/health answers 500" in bad.said
    mine.serves("1.0.0")

    lab.ok("mc_guest.enlarge", "shop", "+1G")
    assert mine.infos["live"]["limit"] == 3 << 30
    assert "cannot be trimmed" in lab.refused("mc_guest.trim", "shop", "100M")

    lab.ok("mc_guest.snapshot", "shop", "good")
    assert list(lab.ok("mc_guest.snapshots", "shop")) == ["good"]
    mine.ssh("sh", "-c", "'rm -rf /srv/projects/shop/project; systemctl stop corpus-*'")
    assert lab.page(mine.host)[0] != 200
    lab.ok("mc_guest.restore", "shop", "good")
    mine.serves("1.0.0")

    moved = lab.ok("mc_guest.move", "shop", "node2")
    tell(moved)
    print(f"  away for {moved['facts']['downtime']} s")
    assert lab.resolved(mine.host) == [lab.machines[1].address]
    mine.serves("1.0.0")
    assert remains(lab.machines[0], "shop") == ""
    better = mine.push("3.0.0")
    assert better.status == 0, better.said
    mine.serves("3.0.0")

    deleted = lab.ok("mc_guest.delete", "shop", confirm="shop")
    tell(deleted)
    nothing_left(lab, "shop")


def test_two_creates_at_the_same_time_do_not_collide(lab: Cloud) -> None:
    both = [lab.begin("mc_guest.create", "node1", name, size="1G") for name in ("left", "right")]
    reports = []
    for process in both:
        out, err = process.communicate(timeout=200)
        reports.append(json.loads(out))
        assert reports[-1]["result"], out + err
    first, second = (lab.ok("mc_guest.infos", name) for name in ("left", "right"))
    for key in ("address", "address6", "ssh_port", "uuid"):
        assert first[key] != second[key]
    served = json.loads(lab.salt(f"node1.{ZONE}", "mc_node.served").output)[f"node1.{ZONE}"]
    assert {str(first["ssh_port"]), str(second["ssh_port"])} <= {str(port) for port in served["ssh_ports"]}
    for name in ("left", "right"):
        lab.ok("mc_guest.delete", name, confirm=name)
        nothing_left(lab, name)


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


def test_a_node_that_lost_its_power_has_its_guests_again(lab: Cloud, traveller: str) -> None:
    lab.machines[0].cut_power()
    for _ in deadline(90, 1):
        if lab.salt(f"{traveller}.{ZONE}", "test.ping").output.strip():
            break
    is_whole(lab, traveller)


def killed_in(lab: Cloud, step: str, function: str, *arguments: str, **keywords: Any) -> None:
    """Start an operation and kill its runner (kill -9) when it takes a step."""
    from corpus.controller.registry import models
    from sqlalchemy import select

    registry = lab.registry()
    with registry.reading() as session:
        known = session.scalars(select(models.Operation.id)).all()
    process = lab.begin(function, *arguments, **keywords)
    wanted = select(models.Step.state).join(models.Operation).where(models.Step.name == step)
    for _ in deadline(120, 0.02):
        with registry.reading() as session:
            states = session.scalars(wanted.where(models.Operation.id.not_in(known))).all()
        if states and states[0] not in ("planned", "skipped"):
            break
        assert process.poll() is None, process.communicate()
    time.sleep(0.1)  # in the middle of it
    process.kill()
    process.communicate()


@pytest.mark.parametrize("step", ["address and ssh port", "container", "DNS", "registration on the node", "minion"])
def test_a_create_whose_controller_dies_is_finished(lab: Cloud, step: str) -> None:
    killed_in(lab, step, "mc_guest.create", "node1", "half", size="1G")
    lab.ok("mc_controller.resume")
    guests = lab.ok("mc_guest.list")
    if "half" in guests:
        assert guests["half"]["state"] == "running"
        assert lab.resolved(f"half.{ZONE}") == [lab.machines[0].address]
        assert lab.salt(f"half.{ZONE}", "test.ping").status == 0
        lab.ok("mc_guest.delete", "half", confirm="half")
    nothing_left(lab, "half")


@pytest.mark.parametrize("step", ["traffic", "DNS", "container", "credentials and registry"])
def test_a_delete_whose_controller_dies_is_finished(lab: Cloud, step: str) -> None:
    lab.ok("mc_guest.create", "node1", "doomed", size="1G")
    with contextlib.suppress(AssertionError):
        killed_in(lab, step, "mc_guest.delete", "doomed", confirm="doomed")
    lab.ok("mc_controller.resume")
    nothing_left(lab, "doomed")


def test_a_move_that_fails_leaves_the_guest_where_it_was(lab: Cloud, traveller: str) -> None:
    pool = "/srv/corpus/pool/pool.json"
    lab.machines[1].run("mv", pool, f"{pool}.away")
    try:
        said = lab.refused("mc_guest.move", traveller, "node2")
    finally:
        lab.machines[1].run("mv", f"{pool}.away", pool)
    assert "There is no pool" in said
    is_whole(lab, traveller)
    assert lab.ok("mc_guest.infos", traveller)["node"] == f"node1.{ZONE}"
    assert "is on node1.corpus.test already" in lab.refused("mc_guest.move", traveller, "node1")


@pytest.mark.parametrize(
    "step",
    ["key between the nodes", "copy while it runs", "stop", "copy the rest", "registry", "start there", "minion"],
)
def test_a_move_whose_controller_dies_is_finished_or_undone(lab: Cloud, traveller: str, step: str) -> None:
    killed_in(lab, step, "mc_guest.move", traveller, "node2")
    lab.ok("mc_controller.resume")
    is_whole(lab, traveller)
