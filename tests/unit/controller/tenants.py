"""A small cloud of two tenants for tests: two nodes, a guest of each tenant on each node, and everything around them."""

from corpus.controller.credentials import Credentials
from corpus.controller.registry.models import (
    ComputeNode,
    DnsName,
    Guest,
    Image,
    NodeImage,
    Operation,
    Owner,
    Placement,
    Platform,
    Project,
    Role,
    SshKey,
    Step,
    Volume,
)
from corpus.controller.registry.store import Registry
from sqlalchemy import text
from sqlalchemy.orm import Session

TENANTS = ("ada", "bob")


def let_ids_collide(session: Session) -> None:
    """Take the database's guard away, as a restore by hand could."""
    where = " ON guests" if session.get_bind().dialect.name == "postgresql" else ""
    session.execute(text(f"DROP TRIGGER guests_minion_id_update{where}"))


def fill(registry: Registry, zone: str = "corpus.test") -> None:
    """Guests are called ``<tenant><node>``; every text of a tenant's has the tenant's name in it."""
    credentials = Credentials.of(registry)
    with registry.session() as session:
        image = Image(name="debian", version="1", digest="sha256:00", size=1000)
        owners = {name: Owner(name=name, email=f"{name}@example.org") for name in TENANTS}
        session.add_all([image, *owners.values()])
        for number in (1, 2):
            node = ComputeNode(
                name=f"n{number}.{zone}",
                minion_id=f"n{number}.{zone}",
                host=f"192.0.2.{number}",
                address=f"192.0.2.{number}",
                address6=f"2001:db8::{number}",
                network=f"10.64.{number}.0/24",
                network6=f"fd00:64:{number}::/64",
                state="ready",
                storage_size=100 << 30,
                storage_free=60 << 30,
                load=0.5,
                slots=10,
                inventory={"unprivileged": {"able": True, "hindrance": None}},
                settings={"firewall": [f"rule of n{number}"]},
            )
            session.add_all([node, NodeImage(node=node, image=image)])
            session.add(DnsName(fqdn=f"*.n{number}.{zone}", node=node))
            session.add(SshKey(name="master", public=f"ssh-ed25519 n{number}", fingerprint=f"n{number}", node=node))
            session.flush()
            credentials.store(session, f"node:{node.uuid}", "root", f"secret of n{number}")
            for place, (name, owner) in enumerate(owners.items(), start=2):
                platform = Platform(
                    node=node,
                    owner=owner,
                    type="prod",
                    operation_mode="final",
                    settings={"default_env": f"{name}'s", "both": 1},
                )
                guest = Guest(
                    name=f"{name}{number}",
                    minion_id=f"{name}{number}.{zone}",
                    platform=platform,
                    image=image,
                    address=f"10.64.{number}.{place}",
                    address6=f"fd00:64:{number}::{place}",
                    ssh_port=40000 + place,
                    size_bytes=5 << 30,
                    memory=1 << 30,
                    state="running",
                    settings={"both": 2, "word": f"{name}'s {number}"},
                )
                project = Project(name=f"{name}-shop-{number}", roles=[Role(owner=owner, name="owner")])
                session.add_all([guest, project, Placement(project=project, guest=guest)])
                session.add(DnsName(fqdn=f"{name}{number}.{zone}", guest=guest))
                session.add(SshKey(name=name, public=f"ssh-ed25519 {name}", fingerprint=name, owner=owner, guest=guest))
                session.add(Volume(name=f"{name}-data", node=node, guest=guest, mountpoint="/data", size_bytes=1 << 30))
                session.flush()
                credentials.store(session, f"guest:{guest.uuid}", "root", f"secret of {name}{number}")
        session.add(
            Operation(
                kind="guest.create",
                who="ada",
                subject="guest:ada1",
                state="done",
                arguments={"name": "ada1", "password": "an operation's secret"},
                steps=[Step(position=0, name="address", state="done")],
            )
        )
