"""Operations: taken step by step, undone when one fails, settled when their process dies at any line."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.controller import operations
from corpus.controller.cloud import Cloud
from corpus.controller.operations import Step
from corpus.controller.registry.store import Registry
from corpus.controller.settings import Settings
from corpus.errors import Locked, UsageError

from tests.registries import registry_at
from tests.unit.controller.building import Child


class Site:
    """A folder in which operations build houses; what happened there."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.said, self.told = folder, [], []  # type: ignore[var-annotated]
        self.settings = Settings(home=folder, registry_url=str(registry.url.render_as_string(hide_password=False)))
        folder.mkdir()
        self.cloud = Cloud(self.settings, say=self.said.append, tell=lambda tag, data: self.told.append((tag, data)))
        self.cloud.registry = registry

    def arguments(self, **arguments: Any) -> dict[str, Any]:
        return {"name": "villa", "site": str(self.folder), **arguments}

    def run(self, kind: str, test: bool = False, **arguments: Any) -> dict[str, Any]:
        return operations.run(self.cloud, kind, self.arguments(**arguments), "ada", test=test)

    def parts(self, name: str = "villa") -> list[str]:
        return sorted(path.name.split(".")[1] for path in self.folder.glob(f"{name}.*.part"))

    def child(self, kind: str, **arguments: Any) -> Child:
        """Another process that runs an operation."""
        return Child(self.cloud, kind, self.arguments(**arguments))

    def killed(self, kind: str, **arguments: Any) -> None:
        """Let another process run an operation until it kills itself."""
        assert self.child(kind, **arguments).ended() == -signal.SIGKILL


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with registry_at(tmp_path) as registry:
        yield Site(tmp_path / "site", registry)


def states(report: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in report["steps"]}


def test_steps_are_taken_once_however_often_it_is_asked_for(site: Site) -> None:
    report = site.run("house.build")
    assert report["result"] is True
    assert (report["name"], report["who"], report["comment"]) == ("house:villa", "ada", "Done.")
    assert report["changes"] == {"walls": "4 walls", "roof": "done", "door": "done"}
    assert report["facts"] == {"walls": 4}
    assert site.parts() == ["door", "roof", "walls"]
    again = site.run("house.build")
    assert (again["result"], again["changes"]) == (True, {})
    assert set(states(again).values()) == {"skipped"}
    assert again["comment"] == "Everything was so already."


def test_a_plan_changes_nothing(site: Site) -> None:
    plan = site.run("house.build", test=True)
    assert plan["result"] is True
    assert plan["comment"] == "Would walls; roof; door."
    assert (site.parts(), operations.listed(site.cloud), list(site.folder.iterdir())) == ([], [], [])
    site.run("house.build")
    assert site.run("house.build", test=True)["changes"] == {}
    refused = site.run("house.build", test=True, name="flat", ground="swamp")
    assert (refused["result"], refused["comment"]) == (False, "It would fail. ground: Nothing stands on swamp.")


@pytest.mark.parametrize("step", ["walls", "roof", "door"])
def test_what_was_taken_is_undone_when_a_step_fails(site: Site, step: str) -> None:
    report = site.run("house.build", fail=step)
    assert report["result"] is False
    assert report["comment"] == f"{step}: The {step} broke. Everything is as it was before."
    assert site.parts() == []
    assert report["changes"] == {}
    assert states(report)[step] == "undone"
    assert next(row["message"] for row in report["steps"] if row["name"] == step) == f"The {step} broke."
    assert operations.listed(site.cloud)[0]["state"] == "undone"


def test_a_step_that_was_so_before_is_not_undone(site: Site) -> None:
    (site.folder / "villa.walls.part").touch()
    assert site.run("house.build", fail="door")["result"] is False
    assert site.parts() == ["walls"]


def test_a_check_that_refuses_ends_it_before_anything_is_taken(site: Site) -> None:
    report = site.run("house.build", ground="swamp")
    assert report["comment"] == "ground: Nothing stands on swamp. Everything is as it was before."
    assert states(report) == {
        "ground": "failed",
        "walls": "planned",
        "roof": "planned",
        "door": "planned",
        "tell": "planned",
    }


def test_a_bug_is_undone_as_well(site: Site) -> None:
    report = site.run("house.build", bug="roof")
    assert report["comment"] == "roof: ZeroDivisionError: division by zero Everything is as it was before."
    assert site.parts() == []


def test_an_undo_that_fails_is_told_and_can_be_tried_again(site: Site) -> None:
    stuck = site.folder / "stuck.walls"
    stuck.touch()
    report = site.run("house.build", fail="door")
    assert report["result"] is False
    assert report["comment"].startswith("door: The door broke. walls could not be undone: The walls are stuck.")
    assert f"mc_controller.resume {report['operation']}" in report["comment"]
    assert site.parts() == ["walls"]
    assert operations.listed(site.cloud)[0]["state"] == "failed"
    assert operations.resume(site.cloud) == []  # nobody died
    again = operations.resume(site.cloud, report["operation"])[0]
    assert again["comment"] == report["comment"]
    stuck.unlink()
    settled = operations.resume(site.cloud, report["operation"])[0]
    assert settled["comment"] == "door: The door broke. Everything is as it was before."
    assert site.parts() == []
    assert operations.looked_up(site.cloud, report["operation"])["state"] == "undone"


def test_what_stands_below_something_that_cannot_be_undone_stays(site: Site) -> None:
    (site.folder / "stuck.roof").touch()
    report = site.run("house.build", fail="door")
    assert "roof could not be undone" in report["comment"]
    assert site.parts() == ["roof", "walls"]
    assert states(report)["walls"] == "done"
    (site.folder / "stuck.roof").unlink()
    assert operations.resume(site.cloud, report["operation"])[0]["result"] is False
    assert site.parts() == []


def test_what_failed_is_not_undone_once_its_subject_was_worked_on_again(site: Site) -> None:
    (site.folder / "stuck.walls").touch()
    failed = site.run("house.build", fail="door")
    (site.folder / "stuck.walls").unlink()
    assert site.run("house.build")["result"] is True
    with pytest.raises(UsageError, match="house:villa was worked on since"):
        operations.resume(site.cloud, failed["operation"])
    assert site.parts() == ["door", "roof", "walls"]


def test_what_is_not_essential_may_fail(site: Site) -> None:
    report = site.run("house.build", fail="tell")
    assert report["result"] is True
    assert report["notes"] == ["tell failed: The tell broke."]
    assert site.parts() == ["door", "roof", "walls"]


def test_what_goes_forward_is_never_undone(site: Site) -> None:
    site.run("house.build")
    report = site.run("house.raze", fail="roof")
    assert report["result"] is False
    assert report["comment"] == "roof: The roof broke. What is left is done when it is asked for again."
    assert site.parts() == ["roof", "walls"]
    assert site.run("house.raze")["result"] is True
    assert site.parts() == []


def test_one_works_on_a_subject_at_a_time(site: Site) -> None:
    other = site.child("house.build", wait="roof")
    other.waits()
    for kind in ("house.build", "house.raze"):
        with pytest.raises(Locked, match=r"house:villa is being worked on: ada asked for house\.build at .* \(process"):
            site.run(kind)
    assert operations.listed(site.cloud)[0]["alive"] is True
    assert operations.resume(site.cloud) == []
    assert site.run("house.build", name="flat")["result"] is True
    other.go_on()
    assert other.ended() == 0
    assert site.parts() == ["door", "roof", "walls"]
    assert operations.listed(site.cloud, unfinished=True) == []


def test_what_was_queued_is_begun_once_and_fails_by_nobody_who_came_second(site: Site) -> None:
    uuid = operations.queue(site.cloud, "house.build", site.arguments(), "ada")
    with operations._held(site.cloud, "house.build", ["house:villa"], "ada", uuid):  # the first one, about to begin
        with pytest.raises(Locked):
            operations.perform(site.cloud, uuid)
        assert operations.looked_up(site.cloud, uuid)["state"] == "planned"
    assert operations.perform(site.cloud, uuid)["result"] is True
    with pytest.raises(UsageError, match="was begun before: it is done"):
        operations.perform(site.cloud, uuid)
    assert operations.looked_up(site.cloud, uuid)["state"] == "done"


def test_what_was_queued_fails_when_something_else_is_under_way(site: Site) -> None:
    uuid = operations.queue(site.cloud, "house.build", site.arguments(), "ada")
    with operations._held(site.cloud, "house.raze", ["house:villa"], "bob"), pytest.raises(Locked):
        operations.perform(site.cloud, uuid)
    assert operations.looked_up(site.cloud, uuid)["state"] == "failed"


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("step", ["walls", "roof", "door"])
def test_what_died_in_a_step_is_undone(site: Site, step: str, moment: str) -> None:
    site.killed("house.build", die=f"do {step} {moment}")
    (report,) = operations.resume(site.cloud)
    assert report["result"] is False
    assert site.parts() == []
    assert list(site.folder.glob("*.rubble")) == []
    assert operations.listed(site.cloud)[0]["state"] == "undone"
    assert operations.resume(site.cloud) == []
    assert site.run("house.build")["result"] is True


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("step", ["walls", "roof"])
def test_what_died_while_it_was_undone_is_undone_to_the_end(site: Site, step: str, moment: str) -> None:
    site.killed("house.build", fail="door", die=f"undo {step} {moment}")
    (report,) = operations.resume(site.cloud)
    assert report["comment"] == "door: The door broke. Everything is as it was before."
    assert site.parts() == []


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("step", ["walls", "roof", "door"])
def test_what_goes_forward_and_died_is_finished(site: Site, step: str, moment: str) -> None:
    site.run("house.build")
    site.killed("house.raze", die=f"do {step} {moment}")
    (report,) = operations.resume(site.cloud)
    assert (report["result"], report["comment"]) == (True, "Done.")
    assert site.parts() == []


def test_what_died_where_only_repeatable_steps_are_left_is_finished(site: Site) -> None:
    site.killed("house.build", die="do tell middle")
    (report,) = operations.resume(site.cloud)
    assert report["result"] is True
    assert site.parts() == ["door", "roof", "walls"]
    assert report["facts"] == {"walls": 4}


def test_the_next_operation_on_the_subject_settles_what_died_before(site: Site) -> None:
    site.killed("house.build", die="do roof middle")
    report = site.run("house.build")
    assert report["result"] is True
    assert report["notes"] == [
        "Before: house.build of house:villa: Its process died at roof. Everything is as it was before."
    ]
    assert [row["state"] for row in operations.listed(site.cloud)] == ["done", "undone"]


@pytest.mark.parametrize("line", [*range(1, 60, 4)])
def test_it_may_die_at_any_statement(site: Site, line: int) -> None:
    assert site.child("house.build", fail="door", statement=line).ended() in (-signal.SIGKILL, 1)
    operations.resume(site.cloud)
    assert site.parts() == []
    assert operations.listed(site.cloud, unfinished=True) == []


def test_progress_is_told(site: Site) -> None:
    report = site.run("house.build")
    prefix = f"corpus/operation/{report['operation']}"
    tags = [tag for tag, _ in site.told]
    assert tags[0] == f"{prefix}/ground"
    assert tags[-1] == f"{prefix}/end"
    walls = [data["state"] for tag, data in site.told if tag == f"{prefix}/walls"]
    assert walls == ["running", "done"]
    assert site.told[-1][1]["comment"] == "Done."
    assert "walls" in site.said


def test_what_cannot_be_asked_for(site: Site) -> None:
    with pytest.raises(UsageError, match=r"'house.burn' is no kind of operation: there are .*house\.build"):
        site.run("house.burn")
    with pytest.raises(UsageError, match="There is no operation 'x'"):
        operations.resume(site.cloud, "x")

    @operations.kind("house.twice")
    def twice(arguments: Any) -> list[Step]:
        return [Step("walls"), Step("walls")]

    with pytest.raises(TypeError, match="same name"):
        site.run("house.twice")

    @operations.kind("house.once")
    def once(arguments: Any) -> list[Step]:
        return [Step("tell", essential=False)]

    with pytest.raises(TypeError, match="must be repeatable"):
        site.run("house.once")


def test_steps_that_another_version_began_are_left_to_a_person(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.killed("house.build", die="do roof middle")
    known = operations.find("house.build")
    monkeypatch.setitem(
        operations._KINDS, "house.build", operations.Kind("house.build", lambda _: [Step("other")], known.subjects)
    )
    (report,) = operations.resume(site.cloud)
    assert report["result"] is False
    assert "another version" in report["comment"]


def test_being_told_to_end_is_a_failure_in_order(site: Site) -> None:
    other = site.child("house.build", wait="door")
    other.waits()
    os.kill(other.number, signal.SIGINT)
    assert other.ended() == 1
    assert site.parts() == []
    assert operations.listed(site.cloud)[0]["comment"] == "door: It was interrupted. Everything is as it was before."


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_being_told_to_end_when_all_that_matters_is_done_undoes_nothing(site: Site, told: signal.Signals) -> None:
    other = site.child("house.build", wait="tell")
    other.waits()
    os.kill(other.number, told)
    assert other.ended() == 1
    assert site.parts() == ["door", "roof", "walls"]
    (left,) = operations.listed(site.cloud, unfinished=True)
    assert (left["state"], left["alive"]) == ("running", False)
    (report,) = operations.resume(site.cloud)
    assert (report["result"], report["comment"], states(report)["tell"]) == (True, "Done.", "done")
    assert site.parts() == ["door", "roof", "walls"]


def test_it_is_the_same_on_every_kind_of_registry(tmp_path: Path, registry: Registry) -> None:
    site = Site(tmp_path / "site", registry)
    site.killed("house.build", die="do door middle")
    assert [report["result"] for report in operations.resume(site.cloud)] == [False]
    assert site.run("house.build")["facts"] == {"walls": 4}
    assert [row["state"] for row in operations.listed(site.cloud)] == ["done", "undone"]
