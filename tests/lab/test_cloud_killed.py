"""Guests are made and removed by runners that die in the middle (kill -9), and by two at the same time."""

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.lab import cloud
from tests.lab.checks import is_whole, nothing_left
from tests.lab.cloud import ZONE, Cloud

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    with cloud.ready(machines=1) as made:
        yield made


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


@pytest.mark.parametrize(
    ("create", "delete"),
    [
        ("address and ssh port", "guest"),
        ("container", "traffic"),
        ("DNS", "DNS"),
        ("registration on the node", "container"),
        ("minion", "credentials and registry"),
    ],
)
def test_a_create_and_a_delete_whose_controller_dies_are_finished(lab: Cloud, create: str, delete: str) -> None:
    lab.killed_in(create, "mc_guest.create", "node1", "half", size="2G", keys=[lab.public])
    lab.ok("mc_controller.resume")
    if "half" in lab.ok("mc_guest.list"):
        assert lab.salt(f"half.{ZONE}", "test.ping").status == 0
    else:
        nothing_left(lab, "half")
    lab.guest("half")  # there already, or made now
    is_whole(lab, "half")
    with contextlib.suppress(AssertionError):  # it was quicker
        lab.killed_in(delete, "mc_guest.delete", "half", confirm="half")
    lab.ok("mc_controller.resume")
    nothing_left(lab, "half")
