"""How every run ends: what changed is looked up, the account is kept, whoever waits is told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import CorpusError
from corpus.project.changes import commits, packages, tree
from corpus.project.keeping import history
from corpus.project.layout import Layout
from corpus.project.session import Session
from corpus.project.takeover import Takeover
from corpus.project.telling.account import account, summary
from corpus.project.telling.report import Report

_COMMITS = 200  # whose lead times are kept for the statistics


def look(session: Session, over: Takeover, in_place: bool = False) -> None:
    """Find out what a deployment or a rollback brought, or would have brought, against what ran before.

    It takes some ten milliseconds; trees that are too large are compared for a second at most. Nothing that goes wrong
    here changes the result: what is not known is not told.

    :param in_place: the tree is its developer's own, and there is no other to compare it with
    """
    report, layout = session.report, session.layout
    report.mode = session.cfg.get("operation_mode", "")
    report.services = over.services
    before = files.read_json(layout.manifest(over.old), {}) if over.old else {}
    report.before = before.get("revision")
    old, new = _trees(layout, over, bool(report.result), in_place)
    try:
        if report.revision:
            report.commits = commits.between(
                layout.project_git, report.before, report.revision, session.user, session.borrowed
            )
        report.files = _files(session, old, new)
        report.packages = session.system.changes()
        if new:
            report.packages += packages.between(packages.of_tree(old) if old else {}, packages.of_tree(new))
    except (CorpusError, OSError, ValueError) as err:
        session.console.note(f"what changed is not known whole: {session.explain(err)}")


def _trees(layout: Layout, over: Takeover, accepted: bool, in_place: bool) -> tuple[Path | None, Path | None]:
    """Return where the tree that ran before and the new one are now; None for one that is not there."""
    old: Path | None
    if in_place:
        return None, layout.project
    if accepted:
        places = [layout.tree(over.old), layout.archive(over.old) / "project"] if over.old else []
        old, new = next((place for place in places if place.is_dir()), None), layout.project
    else:
        old = layout.project if over.old else None
        new = next((p for p in (layout.failed / over.new / "project", layout.tree(over.new)) if p.is_dir()), Path())
    return old, new if new.is_dir() and new != Path() else None


def _files(session: Session, old: Path | None, new: Path | None) -> tree.FileChanges | None:
    """Compare two trees: by git what is under version control, by content what is not."""
    report, bare, user, env = session.report, session.layout.project_git, session.user, session.borrowed
    revision = None if session.cfg.get("release_artifacts_urls") else report.revision
    if new is not None and old is None and report.previous is None:
        return tree.beginning(new, tree.tracked(bare, revision, user, env) if revision else None)
    of_git = None
    if report.before and report.revision and revision:
        of_git = tree.committed(bare, report.before, report.revision, user, env)
    if old is None or new is None:
        return tree.FileChanges(tuple(of_git)) if of_git is not None else None
    known: set[str] = set()
    if of_git is not None and report.revision:
        known = tree.tracked(bare, report.revision, user, env)
        known |= {path for change in of_git for path in (change.path, change.before) if path}
    of_builds = tree.built(old, new, known)
    return tree.FileChanges(
        tuple(sorted([*(of_git or ()), *of_builds.files], key=lambda change: change.path)), of_builds.complete
    )


def keep(session: Session) -> None:
    """Write the account and the record, and a line for the statistics; tell listeners that it is over."""
    report, redactor = session.report, session.console.redactor
    report.seconds = session.seconds
    record, words = report.record(redactor), redactor.text(summary(report))
    line = redactor.tree(_line(report)) if report.kind in ("deploy", "rollback") else {}
    delivery = {key: line[key] for key in ("back", "lead", "reverts") if key in line}  # for who has no other lines
    history.store(session.layout, {**record, **delivery, "summary": words}, account(report, redactor))
    if line:
        history.count(session.layout, line)
    session.events.fire("end", **record, summary=words)


def say(session: Session) -> None:
    """Tell whoever waits what it brought, how it ended, and where to read more when it failed."""
    report, console = session.report, session.console
    words = summary(report)
    if words:
        console.line(words)
    console.ending(report.comment, report.notes)
    if report.result is False:
        console.line(f"report: salt-call --local mc_project.report {report.name} {report.deployment}")


def _line(report: Report) -> Mapping[str, Any]:
    """Return what the statistics need of a deployment, for as long as the project lives."""
    began = datetime.fromisoformat(report.when.replace("Z", "+00:00")).timestamp()
    brought = report.commits.brought if report.commits and not report.commits.first else ()
    return {
        "deployment": report.deployment,
        "kind": report.kind,
        "result": report.result,
        "when": report.when,
        "seconds": round(report.seconds, 3),
        "who": report.who,
        "mode": report.mode,
        "release": report.release,
        "previous": report.previous,
        "revision": report.revision,
        "stages": {stage.stage: round(stage.seconds, 3) for stage in report.stages if stage.result is not None},
        "failed": next((stage.stage for stage in report.stages if stage.result is False), None),
        "back": bool(report.commits and report.commits.left and not report.commits.brought),
        "lead": {
            commit.revision[:12]: max(0, round(began + report.seconds - commit.time)) for commit in brought[:_COMMITS]
        },
        "reverts": [commit.reverts[:12] for commit in brought if commit.reverts],
    }
