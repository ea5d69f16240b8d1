"""What a cloud is put right after: hands that changed things, runners that died in the middle (kill -9), two at the same time."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import salt.config
from corpus.controller import access
from corpus.controller.dns import powerdns, zones
from corpus.controller.dns.records import Record
from corpus.controller.registry.models import DnsName
from corpus.controller.settings import Settings
from sqlalchemy import select

from tests.lab import cloud
from tests.lab.checks import is_whole, nothing_left
from tests.lab.cloud import ZONE, Cloud
from tests.machine import deadline

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Cloud]:
    """A cloud of one node with one guest."""
    with cloud.ready(machines=1) as made:
        made.guest("web")
        yield made


def _checked(lab: Cloud, **how: Any) -> dict[str, Any]:
    return dict(json.loads(lab.run("mc_registry.check", **how).output))


def _told(report: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((one["kind"], one["subject"]) for one in report["differences"])


def test_what_corpus_made_is_as_the_registry_says(lab: Cloud) -> None:
    report = _checked(lab)
    assert report["differences"] == []
    assert report["result"] is True


def test_who_is_let_in_as_root_of_a_guest(lab: Cloud) -> None:
    def inside(command: str) -> str:
        pool = "/srv/corpus/pool/containers"
        words = ["lxc-attach", "-P", pool, "-n", "web", "--", "sh", "-c", command]
        return lab.machines[0].run(*words).output

    authorized = "/root/.ssh/authorized_keys"
    before = {line for line in inside(f"cat {authorized}").splitlines() if not line.startswith("#")}
    assert before
    stranger = access.new_key("stranger").public
    inside(f"echo '{stranger}' > {authorized}")
    found = _checked(lab)
    assert _told(found) == [("ssh", "web")] * (len(before) + 1)
    fixed = _checked(lab, fix=True)
    (left,) = [one["message"] for one in fixed["differences"] if not one["repaired"]]
    assert left.startswith(f"web lets in the key {access.fingerprint(stranger)} ('stranger') as root")
    assert before < set(inside(f"cat {authorized}").splitlines())
    inside(f"sed -i /stranger/d {authorized}")
    assert _checked(lab)["result"] is True


def test_what_was_changed_by_hand_is_told_and_put_right(lab: Cloud) -> None:
    machine = lab.machines[0]
    pool = "/srv/corpus/pool/containers"
    machine.run("lxc-stop", "-P", pool, "-n", "web", "--kill")
    machine.run("nft", "delete", "table", "inet", "corpus")
    dns = Settings.configured(salt.config.master_config(str(lab.conf / "master"))).dns
    assert dns is not None
    server = powerdns.Server(dns.url, dns.api_key_file)
    with lab.registry().reading() as session:
        (fqdn,) = session.scalars(select(DnsName.fqdn).where(DnsName.fqdn == f"web.{ZONE}"))
    zones.reconcile([Record(fqdn, "A", ("192.0.2.99",))], ZONE, server, only=[fqdn])
    assert lab.resolved(fqdn) == ["192.0.2.99"]
    keys = lab.folder / "root/etc/salt/pki/master/minions"
    shutil.copy(keys / f"web.{ZONE}", keys / f"stranger.{ZONE}")

    found = _checked(lab)
    assert found["result"] is False
    told = _told(found)
    assert ("container", "web") in told, found
    assert ("traffic", f"node1.{ZONE}") in told
    assert ("name", f"{fqdn} A") in told
    assert ("key", f"stranger.{ZONE}") in told
    assert {kind for kind, _ in told} == {"container", "traffic", "name", "key"}

    fixed = _checked(lab, fix=True)
    left = [one["subject"] for one in fixed["differences"] if not one["repaired"]]
    assert left == [f"stranger.{ZONE}"]
    assert lab.resolved(fqdn) == [machine.address]
    assert "RUNNING" in machine.run("lxc-info", "-P", pool, "-n", "web", "-s").output
    assert (keys / f"stranger.{ZONE}").exists()
    (keys / f"stranger.{ZONE}").unlink()
    for _ in deadline(60):
        if _checked(lab)["result"]:
            break


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
