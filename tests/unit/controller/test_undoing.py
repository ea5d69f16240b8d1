"""What an operation on a guest undoes: what it made itself, and never what was there before or came afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import guests, operations, preseed, wiring
from corpus.controller.cloud import Cloud
from corpus.controller.journal import Memory
from corpus.controller.operations import Run, Step
from corpus.controller.registry import allocation
from corpus.controller.registry.models import Reservation
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, MinionFailed, UsageError
from corpus.node import containers, seeds, storage
from sqlalchemy import select

from tests.registries import registry_at
from tests.unit.controller import tenants

FIRST, SECOND = "n1.corpus.test", "n2.corpus.test"
OTHER = "11111111-2222-3333-4444-555555555555"


class Nodes:
    """Stands for the minions of nodes: their containers and what became of them."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, str]] = {FIRST: {}, SECOND: {}}
        self.owners: dict[str, str] = {}
        self.snapshots: dict[str, list[str]] = {}
        self.broken = {"mc_lxc.snapshot"}
        self.called: list[tuple[str, str]] = []

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
            there.pop(str(name), None)
        elif function in ("mc_lxc.start", "mc_lxc.stop"):
            there[str(name)] = "RUNNING" if function == "mc_lxc.start" else "STOPPED"
        elif function == "mc_lxc.delete_snapshot":
            self.snapshots[str(name)] = [one for one in self.snapshots.get(str(name), ()) if one != words[1]]
        return {"result": True, "changes": {}, "comment": ""}


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


def test_a_move_is_not_undone_once_the_guest_is_there(site: Site) -> None:
    run = moving(site)
    for step in ("place there", "copy while it runs", "registry", "start there", "traffic here"):
        site.do(run, step)
    for step in ("start there", "registry", "stop", "copy while it runs"):
        with pytest.raises(CorpusError, match=r"ada1 is on n2\.corpus\.test already: it stays there"):
            site.undo(run, step)
    assert site.nodes.states[SECOND] == {"ada1": "RUNNING"}
    assert site.facts("ada1")["node"] == SECOND
