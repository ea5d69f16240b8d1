"""The registry against a world: what differs is told, what can be put right is, and nothing else is touched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from corpus.controller import comparison
from corpus.controller.registry.models import ComputeNode, Guest, Operation
from corpus.controller.registry.store import Registry
from corpus.errors import CorpusError
from sqlalchemy import update

from tests.unit.controller import tenants


@dataclass
class World:
    """A world that is as told, and remembers what was done to it. (The real one: tests/lab.)"""

    running: dict[str, dict[str, bool]]
    accepted: set[str]
    pools: dict[str, set[str]]
    admitted: dict[str, dict[str, str]]
    off: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    done: list[tuple[str, ...]] = field(default_factory=list)

    def _reached(self, node: str) -> None:
        if node in self.gone:
            raise CorpusError(f"{node} does not answer.")

    def containers(self, node: str) -> Mapping[str, bool]:
        self._reached(node)
        return dict(self.running[node])

    def images(self, node: str) -> Iterable[str]:
        self._reached(node)
        return self.pools[node]

    def traffic(self, node: str, wanted: Mapping[str, Any], test: bool) -> Mapping[str, Any]:
        self._reached(node)
        assert wanted["bridge"] == "corpus0"
        if test:
            return self.off.get(node, {})
        self.done.append(("traffic", node))
        return self.off.pop(node)

    def names(self, test: bool) -> Mapping[str, Mapping[str, str]]:
        self._reached("dns")
        if test:
            return self.records
        self.done.append(("names",))
        changed, self.records = self.records, {}
        return changed

    def keys(self) -> set[str]:
        return self.accepted

    def let_in(self, minion: str) -> Mapping[str, str]:
        return self.admitted[minion]

    def admit(self, minion: str, public: str) -> None:
        self.done.append(("admit", minion, public))

    def start(self, node: str, guest: str) -> None:
        self.done.append(("start", node, guest))
        if guest == "bob2":
            raise CorpusError("bob2 does not start: its root is damaged.")
        self.running[node][guest] = True

    def stop(self, node: str, guest: str) -> None:
        self.done.append(("stop", node, guest))
        self.running[node][guest] = False


@pytest.fixture
def cloud(registry: Registry) -> Registry:
    tenants.fill(registry)
    return registry


@pytest.fixture
def world() -> World:
    """As the registry says."""
    nodes = [f"n{number}.corpus.test" for number in (1, 2)]
    return World(
        running={node: {f"ada{node[1]}": True, f"bob{node[1]}": True} for node in nodes},
        accepted={*nodes, *(f"{name}{number}.corpus.test" for name in ("ada", "bob") for number in (1, 2))},
        pools={node: {"debian-1", "debian-2"} for node in nodes},
        admitted={
            **{node: {node[:2]: "master", "provider": "the machine's own"} for node in nodes},
            **{f"{name}{n}.corpus.test": {name: "their laptop"} for name in ("ada", "bob") for n in (1, 2)},
        },
    )


def _told(report: dict[str, Any]) -> list[str]:
    return [one["message"] for one in report["differences"]]


def test_a_world_that_is_as_it_should_be(cloud: Registry, world: World) -> None:
    for fix in (False, True):
        assert comparison.check(cloud, world, fix) == {
            "result": True,
            "retcode": 0,
            "comment": "The world is as the registry says.",
            "differences": [],
        }
    assert world.done == []


def test_what_differs_is_told_and_put_right_where_that_is_safe(cloud: Registry, world: World) -> None:
    one, two = "n1.corpus.test", "n2.corpus.test"
    world.running[one] = {"ada1": False, "bob1": True, "stranger": True}
    world.running[two] = {"bob2": False}
    world.off[two] = {"table": "differs"}
    world.records = {"ada1.corpus.test A": {"old": "", "new": "192.0.2.1"}, "x A": {"old": "192.0.2.9", "new": ""}}
    world.accepted -= {"bob1.corpus.test"}
    world.accepted |= {"ghost.corpus.test"}
    world.pools[one] = set()
    with cloud.session() as session:
        session.execute(update(Guest).where(Guest.name == "bob1").values(state="stopped"))
    found = comparison.check(cloud, world)
    assert _told(found) == [
        "The guest ada1 should run, and is stopped.",
        "n2.corpus.test has no container of the guest ada2.",
        "The guest bob1 should be stopped, and runs.",
        "The guest bob2 should run, and is stopped.",
        "n1.corpus.test has a container stranger that the registry does not know there.",
        "n1.corpus.test has no image debian-1: run mc_compute_node.image_sync.",
        "The traffic of n2.corpus.test is not what it should be (table).",
        "DNS has nothing for ada1.corpus.test A and should have 192.0.2.1.",
        "DNS has 192.0.2.9 for x A and should have nothing.",
        "The master has not accepted a key of bob1.corpus.test: it cannot be asked anything.",
        "The master has accepted a key of ghost.corpus.test, which is neither node nor guest: salt-key -d ghost.corpus.test.",
    ]
    assert (found["result"], found["comment"], world.done) == (False, "11 differences.", [])

    fixed = comparison.check(cloud, world, fix=True)
    assert fixed["comment"] == "11 differences, 5 of them put right."
    assert sorted(world.done) == [
        ("names",),
        ("start", one, "ada1"),
        ("start", two, "bob2"),
        ("stop", one, "bob1"),
        ("traffic", two),
    ]
    (trouble,) = [one for one in fixed["differences"] if one.get("trouble")]
    assert (trouble["subject"], trouble["trouble"]) == ("bob2", "bob2 does not start: its root is damaged.")
    left = comparison.check(cloud, world)
    assert len(left["differences"]) == 6  # what is for a person, and what did not start


def test_who_is_let_in_as_root(cloud: Registry, world: World) -> None:
    """Missing keys come back; a node's own stay without a word, a guest's are told."""
    world.admitted["n1.corpus.test"].pop("n1")
    world.admitted["ada1.corpus.test"] = {"mallory": "x" * 1000}
    world.admitted["ada2.corpus.test"] |= {f"{number:03}": "" for number in range(1000)}
    world.running["n1.corpus.test"]["bob1"] = False
    world.admitted["bob1.corpus.test"].clear()  # it cannot be asked
    found = comparison.check(cloud, world, fix=True)
    told = [message for message in _told(found) if "key" in message]
    assert told[:4] == [
        "n1.corpus.test does not let in the key n1 as root.",
        "ada1 does not let in the key ada as root.",
        f"ada1 lets in the key mallory ('{'x' * 31}…' (1000 characters)) as root, which the registry does not know there.",
        "ada2 lets in the key 000 as root, which the registry does not know there.",
    ]
    assert len(told) == 3 + 20
    assert sorted(world.done) == [
        ("admit", "ada1.corpus.test", "ssh-ed25519 ada"),
        ("admit", "n1.corpus.test", "ssh-ed25519 n1"),
        ("start", "n1.corpus.test", "bob1"),
    ]


def test_a_container_on_another_node_is_pointed_at(cloud: Registry, world: World) -> None:
    world.running["n2.corpus.test"]["ada1"] = world.running["n1.corpus.test"].pop("ada1")
    assert _told(comparison.check(cloud, world)) == [
        "n1.corpus.test has no container of the guest ada1; n2.corpus.test has one of that name.",
        "n2.corpus.test has a container ada1 that the registry does not know there.",
    ]


def test_what_cannot_be_asked_is_told_and_the_rest_is_looked_at(cloud: Registry, world: World) -> None:
    world.gone = {"n1.corpus.test", "dns"}
    world.running["n2.corpus.test"]["ada2"] = False
    found = comparison.check(cloud, world, fix=True)
    assert _told(found) == [
        "The containers of n1.corpus.test are not known: n1.corpus.test does not answer.",
        "The guest ada2 should run, and is stopped.",
        "The traffic of n1.corpus.test is not known: n1.corpus.test does not answer.",
        "DNS cannot be asked: dns does not answer.",
    ]
    assert [one["repaired"] for one in found["differences"]] == [False, True, False, False]


def test_what_something_works_on_is_left_alone(cloud: Registry, world: World) -> None:
    del world.running["n1.corpus.test"]["ada1"]
    world.accepted -= {"ada1.corpus.test"}
    with cloud.session() as session:
        session.execute(update(Guest).where(Guest.name == "ada1").values(state="creating"))
    assert _told(comparison.check(cloud, world)) == [
        "The guest ada1 is creating, and nothing works on it: run mc_controller.resume."
    ]
    with cloud.session() as session:
        session.add(Operation(kind="guest.create", who="ada", state="running"))
    assert comparison.check(cloud, world)["result"]


def test_nodes_that_are_not_attached_are_not_asked(cloud: Registry, world: World) -> None:
    with cloud.session() as session:
        session.add(ComputeNode(name="new", minion_id="new", host="new"))
    assert comparison.check(cloud, world)["result"]


def test_what_the_database_cannot_see(cloud: Registry, world: World) -> None:
    with cloud.session() as session:
        tenants.let_ids_collide(session)
        session.execute(update(Guest).where(Guest.name == "ada1").values(minion_id="n1.corpus.test"))
        session.execute(update(Guest).where(Guest.name == "bob1").values(address="10.99.0.1"))
    told = _told(comparison.check(cloud, world))
    assert told[:2] == [
        "The minion id n1.corpus.test is a compute node's and a guest's.",
        "The guest bob1 has 10.99.0.1, which is not in a network of n1.corpus.test.",
    ]
    cloud.key_file.unlink()
    told = _told(comparison.check(cloud, world))
    assert sum("has no key that reads" in message for message in told) == 6
