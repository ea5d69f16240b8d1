"""What the database itself refuses, whoever writes."""

import datetime
from collections.abc import Callable

import pytest
from corpus.controller.registry.models import (
    Base,
    ComputeNode,
    Credential,
    Deployment,
    DnsName,
    Guest,
    Image,
    MinionId,
    Operation,
    Owner,
    Placement,
    Platform,
    Project,
    Reservation,
    Role,
    SshKey,
    Step,
    Volume,
)
from corpus.controller.registry.store import Registry
from corpus.errors import Conflict, RegistryError, UsageError
from sqlalchemy import select, update
from sqlalchemy.orm import Session


def node(number: int = 1) -> ComputeNode:
    return ComputeNode(
        name=f"n{number}", minion_id=f"n{number}.corpus.test", host=f"192.0.2.{number}", network=f"10.64.{number}.0/24"
    )


def guest(on: ComputeNode, number: int = 1, **facts: object) -> Guest:
    return Guest(name=f"g{number}", minion_id=f"g{number}.corpus.test", node=on, **facts)


@pytest.fixture
def begun(registry: Registry) -> Registry:
    """A registry with two nodes, a platform on the first, a guest on each, a project."""
    with registry.session() as session:
        first, second = node(1), node(2)
        platform = Platform(node=first, type="prod", operation_mode="final", owner=Owner(name="ada"))
        session.add_all([second, platform, Project(name="shop")])
        session.add(
            Guest(name="g1", minion_id="g1.corpus.test", platform=platform, address="10.64.1.2", ssh_port=40000)
        )
        session.add(guest(second, 2, address="10.64.2.2", ssh_port=40000))
    return registry


def _one(session: Session, kind: type[Base], **facts: object) -> Base:
    with session.no_autoflush:
        return session.scalars(select(kind).filter_by(**facts)).one()


REFUSED: dict[str, Callable[[Session], object]] = {
    "an address twice on a node": lambda s: s.add(guest(_one(s, ComputeNode, name="n1"), 3, address="10.64.1.2")),
    "an ssh port twice on a node": lambda s: s.add(guest(_one(s, ComputeNode, name="n1"), 3, ssh_port=40000)),
    "a port that is none": lambda s: s.add(guest(_one(s, ComputeNode, name="n1"), 3, ssh_port=70000)),
    "a guest's name twice": lambda s: s.add(guest(_one(s, ComputeNode, name="n1"), 2)),
    "a guest with a node's minion id": lambda s: s.add(
        Guest(name="g3", minion_id="n2.corpus.test", node=_one(s, ComputeNode, name="n1"))
    ),
    "a guest that takes a node's minion id": lambda s: s.execute(
        update(Guest).where(Guest.name == "g1").values(minion_id="n2.corpus.test")
    ),
    "a node with a guest's minion id": lambda s: s.add(ComputeNode(name="n3", minion_id="g1.corpus.test", host="n3")),
    "a guest in no known state": lambda s: s.add(guest(_one(s, ComputeNode, name="n1"), 3, state="sleeping")),
    "a guest of no size": lambda s: s.add(guest(_one(s, ComputeNode, name="n1"), 3, size_bytes=0)),
    "a guest on another node than its platform": lambda s: s.execute(
        update(Guest).where(Guest.name == "g1").values(node_id=_one(s, ComputeNode, name="n2").id)
    ),
    "a guest without a node": lambda s: s.execute(update(Guest).values(node_id=None)),
    "a guest on a node that is not there": lambda s: s.execute(
        update(Guest).where(Guest.name == "g2").values(node_id=999)
    ),
    "a node's name twice": lambda s: s.add(node(1)),
    "a network twice": lambda s: s.add(ComputeNode(name="n3", minion_id="n3", host="n3", network="10.64.1.0/24")),
    "a node with guests deleted": lambda s: s.delete(_one(s, ComputeNode, name="n1")),
    "a platform of an unknown type": lambda s: s.execute(update(Platform).values(type="production")),
    "a platform in an unknown mode": lambda s: s.execute(update(Platform).values(operation_mode="fast")),
    "an owner twice": lambda s: s.add(Owner(name="ada")),
    "an owner in capitals": lambda s: s.add(Owner(name="Ada")),
    "a role twice": lambda s: s.add_all(
        [
            Role(owner=_one(s, Owner, name="ada"), name="sysadmin"),
            Role(owner=_one(s, Owner, name="ada"), name="sysadmin"),
        ]
    ),
    "a placement twice": lambda s: s.add_all(
        [Placement(project=_one(s, Project), guest=_one(s, Guest, name="g1")) for _ in range(2)]
    ),
    "a name twice": lambda s: s.add_all([DnsName(fqdn="x.test", values=["a"], kind="TXT") for _ in range(2)]),
    "a name for nothing": lambda s: s.add(DnsName(fqdn="x.test")),
    "a name for two things": lambda s: s.add(
        DnsName(fqdn="x.test", node=_one(s, ComputeNode, name="n1"), guest=_one(s, Guest, name="g1"))
    ),
    "a key on a node and a guest": lambda s: s.add(
        SshKey(
            name="k", public="k", fingerprint="f", node=_one(s, ComputeNode, name="n1"), guest=_one(s, Guest, name="g1")
        )
    ),
    "a key twice on a guest": lambda s: s.add_all(
        [SshKey(name="k", public="k", fingerprint="f", guest=_one(s, Guest, name="g1")) for _ in range(2)]
    ),
    "a volume twice": lambda s: s.add_all([Volume(name="v", node=_one(s, ComputeNode, name="n1")) for _ in range(2)]),
    "an image's version twice": lambda s: s.add_all(
        [Image(name="i", version="1", digest="sha256:0", size=1) for _ in range(2)]
    ),
    "a credential twice": lambda s: s.add_all([Credential(subject="s", name="n", value=b"x") for _ in range(2)]),
    "a step twice": lambda s: s.add(
        Operation(kind="k", who="ada", steps=[Step(position=0, name="a"), Step(position=0, name="b")])
    ),
    "an operation in no known state": lambda s: s.add(Operation(kind="k", who="ada", state="lost")),
    "a deployment twice": lambda s: s.add_all(
        [
            Deployment(guest=_one(s, Guest, name="g1"), project=_one(s, Project), deployment_id="d", result=True)
            for _ in range(2)
        ]
    ),
    "a reservation twice": lambda s: s.add_all(
        [
            Reservation(
                node=_one(s, ComputeNode, name="n1"), guest=_one(s, Guest, name=name), kind="ssh_port", value="40001"
            )
            for name in ("g1", "g2")
        ]
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_database_refuses(begun: Registry, what: str) -> None:
    with pytest.raises(Conflict) as refused, begun.session() as session:
        REFUSED[what](session)
    assert str(refused.value).startswith("The registry refuses: ")
    assert "\n" not in str(refused.value)
    with begun.reading() as session:  # and nothing of it stays
        assert len(session.scalars(select(Guest)).all()) == 2
        assert len(session.scalars(select(ComputeNode)).all()) == 2


def test_the_same_address_and_port_on_two_nodes(begun: Registry) -> None:
    with begun.reading() as session:
        assert session.scalars(select(Guest.ssh_port)).all() == [40000, 40000]


def test_a_minion_id_is_free_when_who_had_it_is_gone(begun: Registry) -> None:
    with begun.session() as session:
        session.delete(_one(session, Guest, name="g1"))
        session.flush()
        session.add(guest(_one(session, ComputeNode, name="n2"), 1))
        session.flush()
        _one(session, ComputeNode, name="n1").minion_id = "another.corpus.test"
        session.flush()
        session.add(Guest(name="n1", minion_id="n1.corpus.test", node=_one(session, ComputeNode, name="n2")))
    with begun.reading() as session:
        ids = ["another.corpus.test", "g1.corpus.test", "g2.corpus.test", "n1.corpus.test", "n2.corpus.test"]
        assert session.scalars(select(MinionId.minion_id).order_by(MinionId.minion_id)).all() == ids


def test_names_and_addresses_are_checked_when_they_are_set() -> None:
    for wrong in (
        lambda: Guest(name="Shop"),
        lambda: Guest(name="a/../b"),
        lambda: Guest(name="-x"),
        lambda: Guest(minion_id="a b"),
        lambda: Guest(address="10.64.1"),
        lambda: Guest(address="fd00::1"),
        lambda: Guest(address6="10.0.0.1"),
        lambda: ComputeNode(network="10.64.1.1/24"),
        lambda: ComputeNode(name="n1;reboot"),
        lambda: Project(name="../etc"),
        lambda: DnsName(fqdn="a..b"),
        lambda: DnsName(fqdn="x.*.test"),
    ):
        with pytest.raises(UsageError):
            wrong()
    assert Guest(address6="FD00:64:1:0::2").address6 == "fd00:64:1::2"
    assert ComputeNode(network6="fd00:64:1:0::/64").network6 == "fd00:64:1::/64"
    assert DnsName(fqdn="*.apps.corpus.test.").fqdn == "*.apps.corpus.test"
    assert ComputeNode(address="2001:db8::1").address == "2001:db8::1"


def test_a_guest_gets_the_node_of_its_platform_and_moves_with_it(begun: Registry) -> None:
    with begun.session() as session:
        mine = _one(session, Guest, name="g1")
        assert mine.node.name == "n1"
        mine.platform = Platform(node=_one(session, ComputeNode, name="n2"), type="prod", operation_mode="final")
        mine.address = "10.64.2.3"
        mine.ssh_port = 40001
    with begun.reading() as session:
        assert _one(session, Guest, name="g1").node.name == "n2"


def test_what_hangs_on_a_guest_goes_with_it_and_its_deployments_stay(begun: Registry) -> None:
    with begun.session() as session:
        mine, project = _one(session, Guest, name="g1"), _one(session, Project)
        home = mine.node
        session.add_all(
            [
                DnsName(fqdn="shop.test", guest=mine),
                SshKey(name="k", public="k", fingerprint="f", guest=mine),
                Volume(name="v", node=home, guest=mine),
                Placement(project=project, guest=mine),
                Deployment(guest=mine, project=project, deployment_id="d", result=True),
                Reservation(node=home, guest=mine, kind="ssh_port", value="40001"),
            ]
        )
    with begun.session() as session:
        session.delete(_one(session, Guest, name="g1"))
    with begun.reading() as session:
        for kind in (DnsName, SshKey, Volume, Placement, Reservation):
            assert session.scalars(select(kind)).all() == []
        kept = _one(session, Deployment)
        assert (kept.guest, kept.guest_name) == (None, "g1")


def test_times_come_back_in_utc(begun: Registry) -> None:
    east = datetime.timezone(datetime.timedelta(hours=5))
    with begun.session() as session:
        _one(session, Guest, name="g1").started = datetime.datetime(2026, 1, 31, 3, tzinfo=east)
    with begun.reading() as session:
        assert _one(session, Guest, name="g1").started.isoformat() == "2026-01-30T22:00:00+00:00"
    with pytest.raises(RegistryError), begun.session() as session:
        _one(session, Guest, name="g1").started = datetime.datetime(2026, 1, 31)  # noqa: DTZ001


def test_json_columns_notice_what_changes_in_them(begun: Registry) -> None:
    with begun.session() as session:
        session.add(Operation(kind="guest.create", who="ada"))
    with begun.session() as session:
        operation = _one(session, Operation)
        operation.data["address"] = "10.64.1.2"
    with begun.reading() as session:
        assert _one(session, Operation).data == {"address": "10.64.1.2"}
