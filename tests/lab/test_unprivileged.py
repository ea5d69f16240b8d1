"""Guests whose root is nobody on their node: they are so unless somebody says otherwise, and stay so wherever they go."""

import json
from collections.abc import Iterator

import pytest

from tests.lab import cloud
from tests.lab.cloud import ZONE, BareMachine, Cloud
from tests.machine import deadline

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    """A cloud of two compute nodes."""
    with cloud.ready() as made:
        yield made


def mapped(lab: Cloud, name: str) -> str:
    """Whom its root is outside, as the kernel tells it in the guest."""
    answer = lab.ok("mc_guest.exec", name, "cat /proc/self/uid_map")
    return str(answer["stdout"].split()[1])


def test_the_root_of_a_guest_is_nobody_here_and_where_it_goes(lab: Cloud) -> None:
    first, second = lab.machines
    assert first.run("cat", "/etc/subuid").output == first.run("cat", "/etc/subgid").output == "root:1000000000:65536\n"
    planned = lab.ok("mc_guest.create", "node1", "alice", size="1G", test=True)
    assert planned["notes"] == ["alice is unprivileged: its root is nobody on the node."]
    made = lab.ok("mc_guest.create", "node1", "alice", size="1G")
    assert made["notes"] == planned["notes"]
    print(f"\n{made['kind']}: {made['seconds']} s", [(step["name"], step["seconds"]) for step in made["steps"]])
    infos = lab.ok("mc_guest.infos", "alice")
    assert infos["unprivileged"] is infos["live"]["unprivileged"] is True
    assert mapped(lab, "alice") == "1000000000"
    for _ in deadline(30):
        state = lab.ok("mc_guest.exec", "alice", "sh -c 'systemctl is-system-running; true'")["stdout"].strip()
        if state not in ("starting", "initializing"):
            break
    assert state == "running", lab.ok("mc_guest.exec", "alice", "systemctl --failed")["stdout"]
    lab.ok("mc_guest.exec", "alice", "sh -c 'cp /bin/sh /srv/become; chmod 6755 /srv/become; chown daemon /srv'")
    out_of_reach(first, "alice")

    lab.ok("mc_guest.snapshot", "alice", "good")
    lab.ok("mc_guest.exec", "alice", "rm /srv/become")
    lab.ok("mc_guest.restore", "alice", "good")
    lab.ok("mc_guest.move", "alice", "node2")
    assert mapped(lab, "alice") == "1000000000"
    owned = lab.ok("mc_guest.exec", "alice", "stat -c %U:%a /srv /srv/become")["stdout"].split()
    assert owned == ["daemon:755", "root:6755"]
    out_of_reach(second, "alice")
    assert lab.salt(f"alice.{ZONE}", "test.ping").status == 0
    lab.ok("mc_guest.delete", "alice", confirm="alice")


def out_of_reach(node: BareMachine, name: str) -> None:
    """No user of the node may run what is root's in a guest."""
    words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    path = f"/srv/corpus/pool/containers/{name}/rootfs/srv/become"
    assert node.run("stat", "-c", "%a", path).output.strip() == "6755"
    done = node.run(*words, "sh", "-c", f"{path} -p -c id", check=False)
    assert done.status != 0
    assert "Permission denied" in done.said


def test_a_privileged_guest_is_asked_for_and_told(lab: Cloud) -> None:
    made = lab.ok("mc_guest.create", "node1", "trusted", size="1G", unprivileged=False)
    assert made["notes"] == ["trusted is privileged: its root is root on the node."]
    assert lab.ok("mc_guest.infos", "trusted")["unprivileged"] is False
    assert mapped(lab, "trusted") == "0"
    lab.ok("mc_guest.delete", "trusted", confirm="trusted")


def test_a_node_that_cannot_have_such_guests_gets_none(lab: Cloud) -> None:
    lab.ok("mc_guest.create", "node1", "careful", size="1G")
    lab.machines[1].run("mv", "/etc/subuid", "/etc/subuid.away")
    try:
        inventory = lab.ok("mc_compute_node.infos", "node2")["inventory"]
        assert inventory["unprivileged"]["able"] is False, json.dumps(inventory)
        for said in (
            lab.refused("mc_guest.create", "node2", "other", test=True),
            lab.refused("mc_guest.move", "careful", "node2", test=True),
        ):
            assert "node2.corpus.test cannot have unprivileged guests: root has no range" in said
    finally:
        lab.machines[1].run("mv", "/etc/subuid.away", "/etc/subuid")
    lab.ok("mc_compute_node.infos", "node2")
    assert lab.ok("mc_guest.move", "careful", "node2", test=True)["result"]
    lab.ok("mc_guest.delete", "careful", confirm="careful")
