"""What must hold of a guest, looked at from outside."""

from corpus.controller.registry import models
from sqlalchemy import select

from tests.lab.cloud import ZONE, Cloud
from tests.machine import deadline, run


def nothing_left(lab: Cloud, name: str) -> None:
    """Container, address, port, record, key, credential, proxy entry: all gone, on every node."""
    assert name not in lab.ok("mc_guest.list")
    assert lab.resolved(f"{name}.{ZONE}") == lab.resolved(f"www.{name}.{ZONE}") == []
    assert f"{name}.{ZONE}" not in lab.minions()
    for machine in lab.machines:
        assert machine.remains(name) == ""
    with lab.registry().reading() as session:
        nodes = {f"node:{uuid}" for uuid in session.scalars(select(models.ComputeNode.uuid))}
        guests = {f"guest:{uuid}" for uuid in session.scalars(select(models.Guest.uuid))}
        assert set(session.scalars(select(models.Credential.subject))) <= nodes | guests
        assert session.scalars(select(models.Reservation)).all() == []
        assert session.scalars(select(models.DnsName).where(models.DnsName.fqdn.contains(name))).all() == []
        assert session.scalars(select(models.SshKey).where(models.SshKey.guest_id.is_not(None))).all() == [] or guests


def is_whole(lab: Cloud, name: str) -> None:
    """It is on one node and nowhere else, and answers there."""
    infos = lab.ok("mc_guest.infos", name)
    (here,) = [machine for machine in lab.machines if infos["node"] == f"{machine.hostname}.{ZONE}"]
    assert (infos["state"], infos["live"]["state"]) == ("running", "RUNNING")
    assert [machine.hostname for machine in lab.machines if machine is not here and machine.remains(name)] == []
    assert lab.resolved(f"{name}.{ZONE}") == [here.address]
    words = ["ssh", *lab.ssh_options(), "-p", str(infos["ssh_port"]), f"root@{here.address}", "hostname"]
    for _ in deadline(20, 0.5):
        if run(words).output.strip() == name:
            break
    assert lab.salt(f"{name}.{ZONE}", "test.ping").status == 0
