"""The report of a deployment: what every door returns and what the history keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corpus.project import workflow
from corpus.project.changes.commits import Commits
from corpus.project.changes.packages import PackageChange
from corpus.project.changes.services import ServiceChange
from corpus.project.changes.tree import FileChanges
from corpus.project.sls import StateResult
from corpus.project.suite import Suite
from corpus.secrets import Redactor


@dataclass
class StageReport:
    """How one stage went.

    :param stage: its name
    :param result: True, False, or None: it was not run
    :param seconds: it took
    :param comment: in words
    :param states: what its states did
    :param began: seconds after the deployment
    :param excerpt: the end of its log, when it failed
    """

    stage: str
    result: bool | None
    seconds: float = 0.0
    comment: str = ""
    states: list[StateResult] = field(default_factory=list)
    began: float = 0.0
    excerpt: list[str] = field(default_factory=list)

    @property
    def changed(self) -> list[StateResult]:
        return [state for state in self.states if state.changes and state.result is not False]

    def told(self) -> dict[str, Any]:
        """Return it as a plain mapping."""
        return {
            "result": self.result,
            "seconds": round(self.seconds, 3),
            "comment": self.comment,
            "changed": len(self.changed),
            "states": [
                {
                    "id": state.id,
                    "function": state.function,
                    "name": state.name,
                    "result": state.result,
                    "changes": state.changes,
                    "comment": state.comment,
                    "seconds": round(state.seconds, 3),
                }
                for state in self.states
            ],
        }


def in_words(states: Iterable[StateResult], test: bool) -> str:
    """Return what the states of a stage did, in one line and a few more."""
    states = list(states)
    if not states:
        return "nothing to do" if test else ""
    if not test:
        changed = sum(bool(state.changes) for state in states)
        many = f"{len(states)} state{'s' if len(states) > 1 else ''}"
        return f"{many}, {changed} changed" if changed else f"{many}, nothing changed"
    unknown = [state for state in states if state.unknown or _names_its_command(state)]
    would = [state for state in states if state.result is None and state not in unknown]
    cannot = [state for state in states if state.result is False]
    rows = [f"{len(would)} would change, {len(unknown)} unknown, {len(states) - len(would) - len(unknown)} as they are"]
    if cannot:
        rows[0] = f"{rows[0]}, of which {len(cannot)} cannot tell"
    rows += [f"would change: {state.function} {state.name}" for state in would]
    rows += [
        f"unknown:      {state.function} {state.name} (it runs, what it changes cannot be told)" for state in unknown
    ]
    rows += [
        f"cannot tell:  {state.function} {state.name}: {' '.join(state.comment.split())[:200]}" for state in cannot
    ]
    return "\n".join(rows)


def _names_its_command(state: StateResult) -> bool:
    """Under ``test=True`` cmd.run tells its command as if that were what changes."""
    return state.result is None and isinstance(state.changes, Mapping) and set(state.changes) == {"cmd"}


def failure(states: Iterable[StateResult]) -> str | None:
    """Return the first failing state's own words, or None when none failed."""
    for state in states:
        if state.result is False:
            output = ""
            if isinstance(state.changes, Mapping):
                printed = str(state.changes.get("stderr") or state.changes.get("stdout") or "").strip()
                output = f": {printed.splitlines()[-1]}" if printed and printed not in state.comment else ""
            return f"{state.id} ({state.function}): {state.comment.strip()}{output}"
    return None


@dataclass
class Report:
    """A deployment as it goes on, and in the end.

    :param name: of the project
    :param deployment: its id
    :param kind: deploy, plan, rollback, repair, or the name of a single stage
    :param who: asked for it
    :param when: it began, UTC
    :param notes: lines worth telling beside the result: a warning, a choice that was made
    :param before: revision of the release before
    :param mode: operation mode
    :param url: where the project is served
    :param commits: between the releases; this and what follows is None when it is not known
    :param files: that differ
    :param packages: that differ, in the tree and on the machine
    :param services: process types that differ
    :param tests: how the project's own test suite went
    """

    name: str
    deployment: str
    kind: str
    who: str
    when: str
    result: bool | None = True
    comment: str = ""
    revision: str | None = None
    release: str | None = None
    previous: str | None = None
    strategy: str = ""
    seconds: float = 0.0
    stages: list[StageReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    before: str | None = None
    mode: str = ""
    url: str | None = None
    commits: Commits | None = None
    files: FileChanges | None = None
    packages: list[PackageChange] | None = None
    services: list[ServiceChange] | None = None
    tests: Suite | None = None

    def told(self, redactor: Redactor) -> dict[str, Any]:
        """Return the state-like mapping that doors return: name, result, changes, comment, stages, deployment."""
        changes: dict[str, Any] = {}
        if (
            self.result is not False
            and self.release != self.previous
            and self.kind in ("deploy", "rollback", "plan", workflow.SHORT)
        ):
            changes["release"] = {"old": self.previous, "new": self.release}
        for stage in self.stages:
            changed = {state.id: state.changes for state in stage.changed}
            if changed:
                changes[stage.stage] = changed
        told: dict[str, Any] = redactor.tree(
            {
                "name": self.name,
                # A plan's None would be an exit status of 1: Salt takes every result that is not true for a failure.
                "result": self.result is not False,
                "changes": changes if self.result is not False else {},
                "comment": self.comment,
                "deployment": self.deployment,
                "notes": self.notes,
                "stages": {stage.stage: stage.told() for stage in self.stages},
            }
        )
        told["kind"] = self.kind
        return told

    def record(self, redactor: Redactor) -> dict[str, Any]:
        """Return what the history keeps."""
        kept: dict[str, Any] = redactor.tree(
            {
                "deployment": self.deployment,
                "name": self.name,
                "kind": self.kind,
                "result": self.result,
                "comment": self.comment,
                "who": self.who,
                "when": self.when,
                "revision": self.revision,
                "release": self.release,
                "previous": self.previous,
                "mode": self.mode,
                "strategy": self.strategy,
                "seconds": round(self.seconds, 3),
                "notes": self.notes,
                "stages": {
                    stage.stage: {
                        "result": stage.result,
                        "seconds": round(stage.seconds, 3),
                        "changed": len(stage.changed),
                        "comment": stage.comment,
                    }
                    for stage in self.stages
                },
            }
        )
        return kept

    def skip(self, stage: workflow.Stage, why: str) -> StageReport:
        """Note that a stage was not run."""
        skipped = StageReport(stage.name, None, comment=why)
        self.stages.append(skipped)
        return skipped
