"""Addresses, ports and networks: the next free one, and never one twice."""

import os
from collections.abc import Callable

import pytest
from corpus.controller.registry import allocation
from corpus.controller.registry.allocation import Place
from corpus.controller.registry.models import ComputeNode, Guest, Platform, Reservation
from corpus.controller.registry.store import Registry
from corpus.errors import Conflict, CorpusError
from sqlalchemy import select
from sqlalchemy.orm import Session


@pytest.fixture
def nodes(registry: Registry) -> Registry:
    """A registry with two nodes, the first of them with IPv6."""
    with registry.session() as session:
        session.add(_node(1, network6="fd00:64:1::/64"))
        session.add(_node(2))
    return registry


def _node(number: int, **facts: object) -> ComputeNode:
    return ComputeNode(
        **{
            "name": f"n{number}",
            "minion_id": f"n{number}",
            "host": f"n{number}",
            "network": f"10.64.{number}.0/24",
            **facts,
        }
    )


def _on(session: Session, name: str) -> ComputeNode:
    return session.scalars(select(ComputeNode).where(ComputeNode.name == name)).one()


def _create(session: Session, on: ComputeNode, name: str) -> Guest:
    place = allocation.place(session, on)
    made = Guest(
        name=name,
        minion_id=name,
        node=on,
        address=place.address,
        address6=place.address6,
        ssh_port=place.ssh_port,
    )
    session.add(made)
    return made


def test_the_next_free_place(nodes: Registry) -> None:
    with nodes.session() as session:
        node = _on(session, "n1")
        for name in ("a", "b", "c"):
            _create(session, node, name)
        session.flush()
        session.delete(session.scalars(select(Guest).where(Guest.name == "b")).one())
        assert allocation.place(session, node) == Place("10.64.1.3", "fd00:64:1::3", 40001)
        assert allocation.place(session, _on(session, "n2"), first_port=41000) == Place("10.64.2.2", None, 41000)
    assert allocation.bridge("10.64.1.0/24") == "10.64.1.1"
    assert allocation.bridge("fd00:64:1::/64") == "fd00:64:1::1"
    assert allocation.interface("10.64.1.2", "10.64.1.0/24") == "10.64.1.2/24"


def test_what_is_full_says_so(registry: Registry) -> None:
    with registry.session() as session:
        small, one, none = _node(1, network="10.64.1.0/29"), _node(2, slots=1), _node(3, network=None)
        session.add_all([small, one, none])
        session.flush()
        for number in range(5):
            _create(session, small, f"g{number}")
        with pytest.raises(
            CorpusError, match=r"The network 10\.64\.1\.0/29 of the compute node n1 has no free address"
        ):
            allocation.place(session, small)
        assert allocation.free_slots(session, one) == 1
        _create(session, one, "only")
        with pytest.raises(CorpusError, match=r"n2 has no free slot \(it has 1\)"):
            allocation.place(session, one)
        assert (allocation.free_slots(session, one), allocation.free_slots(session, small)) == (0, None)
        with pytest.raises(CorpusError, match="has no network for guests"):
            allocation.place(session, none)
        with pytest.raises(CorpusError, match="no free port for ssh from 65535"):
            allocation.place(session, _node_with_last_port(session), 65535)


def _node_with_last_port(session: Session) -> ComputeNode:
    node = _node(4)
    session.add(node)
    session.add(Guest(name="last", minion_id="last", node=node, ssh_port=65535))
    session.flush()
    return node


def _in_processes(work: Callable[[int], None], count: int) -> None:
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                work(number)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def test_processes_that_create_at_the_same_time_never_collide(nodes: Registry) -> None:
    def create(number: int) -> None:
        for turn in range(15):
            with nodes.session() as session:
                _create(session, _on(session, "n1"), f"g{number}-{turn}")

    _in_processes(create, 4)
    with nodes.reading() as session:
        guests = session.scalars(select(Guest)).all()
        assert len(guests) == 60
        assert {guest.ssh_port for guest in guests} == set(range(40000, 40060))
        assert {guest.address for guest in guests} == {f"10.64.1.{number}" for number in range(2, 62)}
        assert {guest.address6 for guest in guests} == {f"fd00:64:1::{number:x}" for number in range(2, 62)}


def test_processes_that_attach_nodes_at_the_same_time_get_networks_of_their_own(registry: Registry) -> None:
    def attach(number: int) -> None:
        for turn in range(5):
            with registry.session() as session:
                network, network6 = allocation.networks(session, "10.64.N.0/24", "fd00:64:N::/64")
                session.add(_node(100 + 10 * number + turn, network=network, network6=network6))

    _in_processes(attach, 3)
    with registry.reading() as session:
        nodes = session.scalars(select(ComputeNode)).all()
        assert {node.network for node in nodes} == {f"10.64.{number}.0/24" for number in range(1, 16)}
        assert {node.network6 for node in nodes} == {f"fd00:64:{number}::/64" for number in range(1, 16)}


def test_networks_overlap_no_others_and_go_on_after_255(registry: Registry) -> None:
    with registry.session() as session:
        session.add(_node(1, network="10.64.0.0/22"))
        session.flush()
        assert allocation.networks(session, "10.64.N.0/24") == ("10.64.4.0/24", None)
        session.add(_node(2, network="10.64.0.0/16"))
        session.flush()
        assert allocation.networks(session, "10.64.N.0/24", "fd00:64:N::/64") == ("10.65.0.0/24", "fd00:64:256::/64")
        session.add(_node(3, network="192.168.0.0/16"))
        session.flush()
        with pytest.raises(CorpusError, match=r"No network of the form 192\.168\.N\.0/24 is free"):
            allocation.networks(session, "192.168.N.0/24")


def test_a_guest_that_moves_has_its_place_there_before_it_is_there(nodes: Registry) -> None:
    with nodes.session() as session:
        first, second = _on(session, "n1"), _on(session, "n2")
        platform = Platform(node=first, type="dev", operation_mode="editable")
        session.add(platform)
        moved = _create(session, first, "moved")
        moved.platform = platform
        reserved = allocation.reserve(session, second, moved)
        assert reserved == Place("10.64.2.2", None, 40000)
        assert allocation.reserve(session, second, moved) == reserved  # asked twice is asked once
        assert allocation.place(session, second) == Place("10.64.2.3", None, 40001)
    with pytest.raises(Conflict), nodes.session() as session:  # its platform stays where it is
        allocation.settle(session, session.merge(moved), _on(session, "n2"))
    with nodes.session() as session:
        guest, second = session.scalars(select(Guest)).one(), _on(session, "n2")
        guest.platform = None
        assert allocation.settle(session, guest, second) == reserved
    with nodes.session() as session:
        guest = session.scalars(select(Guest)).one()
        assert (guest.node.name, guest.address, guest.address6, guest.ssh_port) == ("n2", "10.64.2.2", None, 40000)
        first = Place("10.64.1.2", "fd00:64:1::2", 40000)  # nobody else gets it while the guest may go back
        assert allocation.reserved(session, _on(session, "n1"), guest) == first
        assert allocation.place(session, _on(session, "n1")) == Place("10.64.1.3", "fd00:64:1::3", 40001)
        assert allocation.settle(session, guest, _on(session, "n1")) == first
        assert (guest.node.name, Place(guest.address or "", guest.address6, guest.ssh_port or 0)) == ("n1", first)
        second = _on(session, "n2")
        assert allocation.reserved(session, second, guest) == reserved
        allocation.settle(session, guest, second)
        allocation.release(session, guest, second)  # nothing
        assert allocation.reserved(session, _on(session, "n1"), guest) == first
        allocation.release(session, guest, _on(session, "n1"))
        assert session.scalars(select(Reservation)).all() == []
        assert allocation.place(session, _on(session, "n1")) == first
        with pytest.raises(CorpusError, match="Nothing is reserved for the guest moved"):
            allocation.settle(session, guest, _on(session, "n1"))
        allocation.reserve(session, _on(session, "n1"), guest)
        allocation.release(session, guest, _on(session, "n1"))
        assert allocation.reserved(session, _on(session, "n1"), guest) is None
