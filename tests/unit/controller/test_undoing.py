"""Operations on guests and nodes beside others: what they undo, what they leave alone, whom they hold off."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import guests, operations, preseed, wiring
from corpus.controller.cloud import Cloud
from corpus.controller.journal import Journal, Memory
from corpus.controller.operations import Run, Step
from corpus.controller.registry import allocation
from corpus.controller.registry.models import ComputeNode, DnsName, Image, NodeImage, Platform, Reservation
from corpus.controller.registry.store import Registry
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, Locked, MinionFailed, UsageError
from corpus.node import containers, seeds, storage
from sqlalchemy import select

from tests.registries import registry_at
from tests.unit.controller import tenants

FIRST, SECOND, THIRD = "n1.corpus.test", "n2.corpus.test", "n3.corpus.test"
OTHER = "11111111-2222-3333-4444-555555555555"


class Nodes:
    """Stands for the minions of nodes: their containers and what became of them."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, str]] = {FIRST: {}, SECOND: {}}
        self.owners: dict[str, str] = {}
        self.snapshots: dict[str, list[str]] = {}
        self.broken = {"mc_lxc.snapshot"}
        self.called: list[tuple[str, str]] = []
        self.on_destroy: Callable[[], None] = lambda: None

    def call(self, minion: str, function: str, *words: Any, timeout: float = 0, **_settings: Any) -> Any:
        self.called.append((minion, function))
        there, name = self.states[minion], words[0] if words else None
        if function == "mc_lxc.list":
            return {name: {"state": state} for name, state in there.items()}
        if function == "mc_seed.owner":
            return self.owners.get(str(name))
        if function == "mc_lxc.snapshots":
            return {label: {"taken": ""} for label in self.snapshots.get(str(name), ())}
        if function in self.broken:
            raise MinionFailed(f"{minion}: no room")
        if function == "mc_lxc.destroy":
            self.on_destroy()
            there.pop(str(name), None)
        elif function in ("mc_lxc.start", "mc_lxc.stop"):
            there[str(name)] = "RUNNING" if function == "mc_lxc.start" else "STOPPED"
        elif function == "mc_lxc.delete_snapshot":
            self.snapshots[str(name)] = [one for one in self.snapshots.get(str(name), ()) if one != words[1]]
        return {"result": True, "changes": {}, "comment": ""}

    def wait_for(self, minion: str, timeout: float) -> float:
        return 0.0

    def is_over(self, minion: str, jid: str) -> bool:
        return True


class Site:
    """Two nodes with guests of two tenants in a registry."""

    def __init__(self, home: Path, registry: Any) -> None:
        self.nodes = Nodes()
        self.cloud = Cloud(Settings(home=home), {"pki_dir": str(home / "pki"), "cachedir": str(home / "cache")})
        self.cloud.registry, self.cloud.minions = registry, self.nodes  # type: ignore[assignment]
        tenants.fill(registry)

    def run(self, kind: str, arguments: dict[str, Any], **data: Any) -> Run:
        return Run(self.cloud, kind, arguments, "ada", Memory(data))

    def step(self, run: Run, name: str) -> Step:
        return next(step for step in operations.find(run.kind).steps(run.arguments) if step.name == name)

    def do(self, run: Run, name: str) -> Any:
        do = self.step(run, name).do
        assert do is not None
        return do(run)

    def undo(self, run: Run, name: str) -> None:
        undo = self.step(run, name).undo
        assert undo is not None
        undo(run)

    def facts(self, name: str) -> dict[str, Any]:
        with self.cloud.registry.reading() as session:
            return guests.facts_of(session, wiring.guest(session, name))

    def state(self, name: str, becomes: str | None = None) -> str:
        with self.cloud.registry.session() as session:
            guest = wiring.guest(session, name)
            guest.state = becomes or guest.state
            return guest.state

    def refused_meanwhile(self, kind: str, arguments: dict[str, Any], *others: tuple[str, dict[str, Any]]) -> list[str]:
        """Run an operation; return the words by which others are refused as soon as it has begun."""
        refused: list[str] = []

        def begun(_tag: str, _data: Any) -> None:
            self.cloud.tell = lambda tag, data: None
            for other, words in others:
                with suppress(Locked):
                    operations.run(self.cloud, other, words, "bob")
                    continue
                refused.append(f"{other} {words}")

        self.cloud.tell = begun
        assert operations.run(self.cloud, kind, arguments, "ada")["result"] is True
        return refused

    def empty_node(self) -> None:
        """One more node, THIRD, with the image and no guests."""
        with self.cloud.registry.session() as session:
            for node in session.scalars(select(ComputeNode)):
                node.guest_types = ["lxc"]
            made = ComputeNode(name=THIRD, minion_id=THIRD, host="192.0.2.3", network="10.64.3.0/24", state="ready")
            made.inventory = {"unprivileged": {"able": True, "hindrance": None}}
            session.add_all([made, NodeImage(node=made, image=session.scalars(select(Image)).one())])

    def accept(self, minion: str, key: str) -> None:
        preseed.accept(wiring.master(self.cloud), minion, key)

    def accepted(self, minion: str) -> str | None:
        return preseed.accepted(wiring.master(self.cloud), minion)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with registry_at(tmp_path) as registry:
        yield Site(tmp_path / "site", registry)


# --- create -----------------------------------------------------------------------------------------------------------


def test_a_create_leaves_a_container_alone_that_it_did_not_make(site: Site) -> None:
    run = site.run("guest.create", {"name": "ada1"}, guest=site.facts("ada1"))
    site.nodes.states[FIRST]["ada1"] = "RUNNING"
    site.accept("ada1.corpus.test", "its key")
    for owner in ({}, {"ada1": OTHER}):
        site.nodes.owners = owner
        with pytest.raises(UsageError, match=r"a container ada1 on n1\.corpus\.test already.*\(mc_lxc\.destroy\)"):
            site.do(run, "container")
        site.undo(run, "container")
    assert site.nodes.states[FIRST] == {"ada1": "RUNNING"}
    assert site.accepted("ada1.corpus.test") == "its key"


@pytest.mark.parametrize("state", ["deleting", "moving", "failed"])
def test_a_guest_that_is_not_whole_is_not_said_to_be_there_already(site: Site, state: str) -> None:
    run = site.run("guest.create", {"name": "ada1", "platform": FIRST})
    check = site.step(run, "owner").check
    assert check is not None
    with site.cloud.registry.session() as session:
        wiring.node(session, FIRST).guest_types = ["lxc"]
    site.state("ada1", state)
    with pytest.raises(UsageError, match=rf"it is {state}: .*mc_controller\.resume.*mc_guest\.delete ada1"):
        check(run)


def test_a_create_leaves_a_minion_alone_that_was_accepted_before(site: Site) -> None:
    run = site.run("guest.create", {"name": "ada1"}, guest=site.facts("ada1"))
    site.accept("ada1.corpus.test", "its key")
    with pytest.raises(UsageError, match=r"accepts a minion ada1\.corpus\.test already.*\(salt-key\)"):
        site.do(run, "container")
    site.undo(run, "container")
    assert site.accepted("ada1.corpus.test") == "its key"
    assert (FIRST, "mc_lxc.destroy") not in site.nodes.called


@pytest.mark.parametrize("there", [False, True])
def test_a_create_undoes_what_it_made(site: Site, there: bool) -> None:
    facts = site.facts("ada1")
    if there:  # what an earlier attempt for the same guest left
        site.nodes.states[FIRST]["ada1"], site.nodes.owners["ada1"] = "STOPPED", facts["uuid"]
    run = site.run("guest.create", {"name": "ada1"}, guest={**facts, "node_host": "127.0.0.1"})
    with pytest.raises(CorpusError):  # n1 is not to be reached by ssh
        site.do(run, "container")
    assert run.data["made"] is True
    site.nodes.states[FIRST]["ada1"] = "RUNNING"
    site.accept("ada1.corpus.test", "our key")
    site.undo(run, "container")
    assert site.nodes.states[FIRST] == {}
    assert site.accepted("ada1.corpus.test") is None


def test_a_container_is_made_anew_for_the_same_guest_alone(tmp_path: Path) -> None:
    pool, _ = storage.initialize(str(tmp_path / "pool"), "directory", None, boot=False)
    (tmp_path / "tree/etc").mkdir(parents=True)
    pool.import_image(str(tmp_path / "tree"), "debian", "1")
    with pytest.raises(UsageError, match="no uuid"):
        seeds.mark("../x")
    containers.create(pool, "shop", "debian-1", seeds.mark(OTHER), bridge=None)
    containers.create(pool, "plain", "debian-1", seeds.mark(None), bridge=None)
    assert (seeds.owner(pool, "shop"), seeds.owner(pool, "plain")) == (OTHER, None)
    seeds.same(pool, "shop", OTHER)
    for name, guest in (("shop", None), ("shop", OTHER.replace("1", "2")), ("plain", None), ("plain", OTHER)):
        with pytest.raises(UsageError, match=f"There is a container {name} already, made for something else"):
            seeds.same(pool, name, guest)
    mark = pool.containers / "shop/rootfs/etc/corpus/guest"
    mark.write_bytes(b"\xff\xfe")
    assert seeds.owner(pool, "shop") is None


# --- delete -----------------------------------------------------------------------------------------------------------


def test_a_delete_that_is_finished_late_leaves_a_later_guest_alone(site: Site) -> None:
    run = site.run("guest.delete", {"name": "ada1", "confirm": "ada1"})
    site.do(run, "guest")
    with site.cloud.registry.session() as session:
        wiring.guest(session, "ada1").uuid = OTHER
    site.state("ada1", "running")
    site.nodes.states[FIRST]["ada1"] = "RUNNING"
    site.accept("ada1.corpus.test", "its key")
    with pytest.raises(UsageError, match="There is no guest"):
        site.do(run, "guest")
    site.do(run, "container")
    assert (site.state("ada1"), site.nodes.states[FIRST]) == ("running", {"ada1": "RUNNING"})
    assert site.accepted("ada1.corpus.test") == "its key"


# --- snapshot ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_leaves_an_older_one_of_its_label_alone(site: Site) -> None:
    site.nodes.snapshots["ada1"] = ["before"]
    report = operations.run(site.cloud, "guest.snapshot", {"name": "ada1", "label": "before"}, "ada")
    assert report["result"] is False
    assert "ada1 has a snapshot before already: choose another label, or delete it" in report["comment"]
    assert site.nodes.snapshots["ada1"] == ["before"]
    assert (FIRST, "mc_lxc.delete_snapshot") not in site.nodes.called


def test_a_snapshot_that_cannot_be_taken_away_is_told(site: Site) -> None:
    run = {"name": "ada1", "label": "after"}
    undone = operations.run(site.cloud, "guest.snapshot", run, "ada")
    assert (undone["result"], "Everything is as it was before" in undone["comment"]) == (False, True)
    site.nodes.broken.add("mc_lxc.delete_snapshot")
    left = operations.run(site.cloud, "guest.snapshot", run, "ada")
    assert "snapshot could not be undone: n1.corpus.test: no room" in left["comment"]


# --- move -------------------------------------------------------------------------------------------------------------


def moving(site: Site) -> Run:
    """A move of ada1 to the second node, planned."""
    site.nodes.states[FIRST]["ada1"] = "RUNNING"
    run = site.run("guest.move", {"name": "ada1", "node": SECOND})
    site.do(run, "where to")
    assert site.state("ada1") == "moving"
    return run


def test_a_move_that_dies_at_any_moment_knows_how_the_guest_was(site: Site) -> None:
    run = moving(site)
    site.do(run, "where to")  # a process that died does not remember "moving"
    assert run.data["state"] == "running"
    site.undo(run, "where to")
    assert site.state("ada1") == "running"
    site.undo(site.run("guest.move", run.arguments), "where to")  # before anything was remembered
    assert site.state("ada1") == "running"


def test_a_move_leaves_a_container_alone_that_it_did_not_copy(site: Site) -> None:
    run = moving(site)
    site.nodes.states[SECOND]["ada1"] = "RUNNING"
    with pytest.raises(UsageError, match=r"There is a container ada1 on n2\.corpus\.test already"):
        site.do(run, "copy while it runs")
    site.undo(run, "copy while it runs")
    assert site.nodes.states[SECOND] == {"ada1": "RUNNING"}
    del site.nodes.states[SECOND]["ada1"]
    site.do(run, "copy while it runs")
    site.nodes.states[SECOND]["ada1"] = "STOPPED"
    site.do(run, "copy while it runs")  # after a run that died
    site.undo(run, "copy while it runs")
    assert site.nodes.states[SECOND] == {}


def test_a_move_does_not_take_the_last_copy_away(site: Site) -> None:
    run = moving(site)
    site.do(run, "copy while it runs")
    site.nodes.states[SECOND]["ada1"] = "STOPPED"
    del site.nodes.states[FIRST]["ada1"]
    with pytest.raises(CorpusError, match=r"ada1 lives on n2\.corpus\.test: it stays there"):
        site.undo(run, "copy while it runs")
    site.nodes.states[FIRST]["ada1"] = "STOPPED"  # left by a later move that went well
    for step in ("place there", "registry"):
        site.do(run, step)
    with pytest.raises(CorpusError, match=r"ada1 lives on n2\.corpus\.test: it stays there"):
        site.undo(run, "copy while it runs")
    assert site.nodes.states[SECOND] == {"ada1": "STOPPED"}


def test_a_move_that_is_undone_never_lets_both_run(site: Site) -> None:
    run = moving(site)
    site.do(run, "stop")
    site.nodes.states[SECOND]["ada1"] = "RUNNING"
    with pytest.raises(
        CorpusError, match=r"ada1 is running on n2\.corpus\.test: stop it there .* before it is started on n1"
    ):
        site.undo(run, "stop")
    assert site.nodes.states[FIRST] == {"ada1": "STOPPED"}
    site.nodes.states[SECOND]["ada1"] = "STOPPED"
    site.undo(run, "stop")
    assert (site.nodes.states[FIRST], site.state("ada1")) == ({"ada1": "RUNNING"}, "running")


def test_a_guest_that_moves_can_go_back_to_its_address_until_it_is_there_for_good(site: Site) -> None:
    before = site.facts("ada1")
    run = moving(site)
    for step in ("place there", "registry"):
        site.do(run, step)
    there = site.facts("ada1")
    assert (there["node"], there["address"]) == (SECOND, run.data["place"]["address"])
    with site.cloud.registry.reading() as session:
        taken = allocation.place(session, wiring.node(session, FIRST))
        assert before["address"] != taken.address
        assert before["ssh_port"] != taken.ssh_port
    site.undo(run, "registry")
    site.undo(run, "registry")
    assert site.facts("ada1") == before
    with site.cloud.registry.reading() as session:  # its copy is still there
        assert allocation.place(session, wiring.node(session, SECOND)).address != there["address"]
    site.undo(run, "place there")
    with site.cloud.registry.reading() as session:
        assert session.scalars(select(Reservation)).all() == []
    for step in ("place there", "registry", "traffic here", "container here"):
        site.do(run, step)
    with site.cloud.registry.reading() as session:
        assert session.scalars(select(Reservation)).all() == []
        assert allocation.place(session, wiring.node(session, FIRST)).address == before["address"]
    assert site.nodes.states[FIRST] == {}


def test_a_platform_that_a_move_made_goes_with_its_undoing(site: Site) -> None:
    def platforms() -> set[str]:
        with site.cloud.registry.reading() as session:
            return set(session.scalars(select(Platform.uuid)))

    with site.cloud.registry.session() as session:
        own = wiring.guest(session, "ada1").platform
        assert own is not None
        own.operation_mode = "cooking"  # there is none like it on the other node
    before, facts = platforms(), site.facts("ada1")
    run = moving(site)
    for step in ("place there", "registry"):
        site.do(run, step)
    assert len(platforms() - before) == 1
    site.undo(run, "registry")
    assert platforms() == before
    assert site.facts("ada1") == facts


def test_a_move_is_not_undone_once_the_guest_is_there(site: Site) -> None:
    run = moving(site)
    for step in ("place there", "copy while it runs", "registry", "start there", "traffic here"):
        site.do(run, step)
    for step in ("start there", "registry", "stop", "copy while it runs"):
        with pytest.raises(CorpusError, match=r"ada1 is on n2\.corpus\.test already: it stays there"):
            site.undo(run, step)
    assert site.nodes.states[SECOND] == {"ada1": "RUNNING"}
    assert site.facts("ada1")["node"] == SECOND


def test_a_move_that_is_interrupted_when_the_guest_is_there_is_finished(site: Site) -> None:
    run = moving(site)
    for step in ("place there", "copy while it runs", "stop", "registry", "start there"):
        site.do(run, step)
    steps = operations.find("guest.move").steps(run.arguments)
    journal = Journal.begin(
        site.cloud.registry, "guest.move", "guest:ada1", run.arguments, "ada", [step.name for step in steps]
    )
    journal.data.update(run.data)
    for one in steps:
        if one.essential:
            journal.step(one.name, "done")
    child = os.fork()
    if child == 0:  # a person who asks for it, and presses Ctrl-C
        with suppress(BaseException):
            signal.signal(signal.SIGINT, signal.default_int_handler)
            site.nodes.on_destroy = lambda: os.kill(os.getpid(), signal.SIGINT)
            operations.resume(site.cloud)
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert operations.listed(site.cloud, unfinished=True)[0]["operation"] == journal.uuid
    (report,) = operations.resume(site.cloud)
    assert (report["result"], report["comment"]) == (True, "Done.")
    assert site.nodes.states == {FIRST: {}, SECOND: {"ada1": "RUNNING"}}
    assert site.facts("ada1")["node"] == SECOND


# --- by any name ------------------------------------------------------------------------------------------------------


def test_one_works_on_a_guest_at_a_time_whatever_it_is_called(site: Site) -> None:
    names = ("ada1", "ada1.corpus.test", site.facts("ada1")["uuid"])
    for held in names:
        others = [("guest.restart", {"name": name}) for name in names]
        others += [
            ("guest.move", {"name": names[1], "node": "n2"}),
            ("project.push", {"name": "x", "guests": [names[2]]}),
        ]
        assert len(site.refused_meanwhile("guest.stop", {"name": held}, *others)) == len(others)
    assert site.refused_meanwhile("guest.stop", {"name": "ada1"}, ("guest.stop", {"name": "bob1"})) == []
    assert {row["subject"] for row in operations.listed(site.cloud, limit=3)} == {"guest:ada1", "guest:bob1"}


def test_one_works_on_a_node_at_a_time_whatever_it_is_called(site: Site) -> None:
    site.empty_node()
    with site.cloud.registry.reading() as session:
        names = ("n3", THIRD, "192.0.2.3", wiring.node(session, "n3").uuid)
    others: list[tuple[str, dict[str, Any]]] = [("compute_node.undrain", {"node": name}) for name in names]
    others += [
        ("compute_node.init", {"host": "192.0.2.3", "platform_type": "prod"}),
        ("compute_node.link", {"host": "192.0.2.99", "name": "n3", "platform_type": "prod"}),
    ]
    for held in names:
        assert len(site.refused_meanwhile("compute_node.drain", {"node": held}, *others)) == len(others)


# --- a node's end -----------------------------------------------------------------------------------------------------


def test_a_node_that_is_given_up_and_a_guest_that_comes_hold_each_other_off(site: Site) -> None:
    site.empty_node()
    with site.cloud.registry.session() as session:
        session.add(DnsName(fqdn="x.corpus.test", node=wiring.node(session, "n2")))
    unlinking = site.run("compute_node.unlink", {"node": THIRD})
    check = site.step(unlinking, "node").check
    assert check is not None
    creation = site.run("guest.create", {"name": "new", "platform": "n3"})
    late = site.run("guest.create", {"name": "late", "platform": "n3"})
    move = site.run("guest.move", {"name": "ada1", "node": THIRD})
    site.do(move, "where to")
    for comes, name in ((creation, "new"), (move, "ada1")):
        place = "place there" if comes is move else "address and ssh port"
        assert check(unlinking) is False
        site.do(comes, place)  # between the look and the end
        with pytest.raises(UsageError, match=rf"n3\.corpus\.test has guests \({name}\)"):
            site.do(unlinking, "node")
        site.undo(comes, place)
    site.do(move, "where to")
    site.do(unlinking, "node")
    for comes, place in ((late, "address and ssh port"), (move, "place there")):
        with pytest.raises(UsageError, match=r"n3\.corpus\.test is unlinked: it takes no guests"):
            site.do(comes, place)


def test_a_guest_waits_for_what_becomes_of_its_node(tmp_path: Path, registry: Registry) -> None:
    site = Site(tmp_path / "site", registry)
    site.empty_node()
    creation = site.run("guest.create", {"name": "new", "platform": THIRD})
    with futures.ThreadPoolExecutor(1) as pool:
        with registry.session() as session:
            node = wiring.node(session, THIRD)
            wiring.turn_of(session, node)
            node.state = "draining"
            session.flush()
            late = pool.submit(site.do, creation, "address and ssh port")
            with pytest.raises(futures.TimeoutError):
                late.result(0.5)
        with pytest.raises(UsageError, match="is draining: it takes no guests"):
            late.result(30)


def test_guests_are_made_on_one_node_at_the_same_time(tmp_path: Path, registry: Registry) -> None:
    site = Site(tmp_path / "site", registry)
    site.empty_node()
    runs = [site.run("guest.create", {"name": f"new{number}", "platform": THIRD}) for number in range(4)]
    with futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda run: site.do(run, "address and ssh port"), runs))
    assert len({site.facts(f"new{number}")["address"] for number in range(4)}) == 4
    subjects = [set(operations.find("guest.create").subjects(run.arguments)) for run in runs]
    assert not set.intersection(*subjects)
