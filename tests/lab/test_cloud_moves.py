"""A guest moves between two nodes: well, not at all, and when the runner that moves it dies (kill -9)."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus.controller.registry.models import Platform
from sqlalchemy import select

from tests.lab import cloud
from tests.lab.checks import is_whole, nothing_left
from tests.lab.cloud import ZONE, BareMachine, Cloud
from tests.machine import Ended, deadline, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    """A cloud of two nodes, and a guest that is on one of them after every test."""
    with cloud.ready() as made:
        made.guest("nomad")
        yield made
        made.ok("mc_guest.delete", "nomad", confirm="nomad")
        nothing_left(made, "nomad")


def where(lab: Cloud) -> tuple[int, int]:
    """The number of the node that the guest is on, and that of the other one."""
    here = int(lab.ok("mc_guest.list")["nomad"]["node"][len("node")])
    return here, 3 - here


def _platforms(lab: Cloud) -> set[str]:
    with lab.registry().reading() as session:
        return set(session.scalars(select(Platform.uuid)))


def lets_in(machine: BareMachine, key: Path) -> Ended:
    """Log in with a key, whoever the machine says it is."""
    settings = ("IdentitiesOnly=yes", "UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes")
    options = [word for one in settings for word in ("-o", one)]
    return run(["ssh", "-F", "none", "-i", str(key), *options, f"root@{machine.address}", "true"])


@pytest.mark.parametrize(
    ("missing", "complaint"), [("/srv/corpus/pool/pool.json", "There is no pool"), ("/usr/bin/lxc-start", "lxc-start")]
)
def test_a_move_that_fails_leaves_the_guest_where_it_was(lab: Cloud, missing: str, complaint: str) -> None:
    """Before it was stopped; and when it does not start there, on a platform that the move had to make."""
    here, there = where(lab)
    own = lab.ok("mc_guest.infos", "nomad")["platform"]
    lab.ok("mc_compute_node.switchmode", own, "cooking")
    before = _platforms(lab)
    lab.machines[there - 1].run("mv", missing, f"{missing}.away")
    try:
        said = lab.refused("mc_guest.move", "nomad", f"node{there}")
    finally:
        lab.machines[there - 1].run("mv", f"{missing}.away", missing)
    assert complaint in said
    is_whole(lab, "nomad")
    assert where(lab) == (here, there)
    assert _platforms(lab) == before
    lab.ok("mc_compute_node.switchmode", own, "final")
    assert f"is on node{here}.{ZONE} already" in lab.refused("mc_guest.move", "nomad", f"node{here}")


@pytest.mark.parametrize(
    "step",
    ["key between the nodes", "copy while it runs", "stop", "copy the rest", "registry", "start there", "minion"],
)
def test_a_move_whose_controller_dies_is_finished_or_undone(lab: Cloud, step: str) -> None:
    _, there = where(lab)
    lab.killed_in(step, "mc_guest.move", "nomad", f"node{there}")
    lab.ok("mc_controller.resume")
    is_whole(lab, "nomad")


def test_a_node_that_lost_its_power_has_its_guests_again(lab: Cloud) -> None:
    here, _ = where(lab)
    lab.machines[here - 1].cut_power()
    for _ in deadline(90, 1):
        if lab.salt(f"nomad.{ZONE}", "test.ping").output.strip():
            break
    is_whole(lab, "nomad")


def test_a_node_is_emptied_given_up_and_attached_again(lab: Cloud) -> None:
    here, there = where(lab)
    machine, name = lab.machines[here - 1], f"node{here}.{ZONE}"
    assert "has guests (nomad)" in lab.refused("mc_compute_node.unlink", f"node{here}", confirm=f"node{here}")
    drained = lab.ok("mc_compute_node.drain", f"node{here}", to=f"node{there}")
    assert drained["changes"]["moves"] == {"nomad": f"node{there}"}
    is_whole(lab, "nomad")
    assert where(lab) == (there, here)

    key = lab.folder / name  # somebody kept a copy
    shutil.copy(lab.folder / "home/ssh" / name, key)
    assert lets_in(machine, key).status == 0
    lab.ok("mc_compute_node.unlink", f"node{here}", confirm=f"node{here}")
    assert list(lab.ok("mc_compute_node.list")) == [f"node{there}.{ZONE}"]
    assert lab.resolved(name) == lab.resolved(f"any.{name}") == []
    assert name not in lab.minions()
    assert not list((lab.folder / "home/ssh").glob(f"{name}*"))
    assert "Permission denied" in lets_in(machine, key).said
    assert lets_in(machine, lab.key).status == 0

    linked = lab.node(machine, "mc_compute_node.link")
    assert not {"base system", "highstate"} & {step["name"] for step in linked["steps"]}
    assert lab.ok("mc_compute_node.list")[name]["state"] == "ready"
    assert lab.resolved(f"any.{name}") == [machine.address]
    lab.ok("mc_guest.move", "nomad", f"node{here}")
    is_whole(lab, "nomad")
