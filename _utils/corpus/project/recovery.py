"""Repair: a deployment that died (kill -9, a power cut) is finished or undone by the next call."""

from __future__ import annotations

import pwd
import time
from contextlib import suppress
from typing import Any

from corpus import files
from corpus.errors import CorpusError
from corpus.project import changeover, conclusion, configuration, stages, workflow
from corpus.project.git import repositories
from corpus.project.keeping import archives, trees
from corpus.project.keeping.journal import Journal
from corpus.project.keeping.manifest import MANIFEST
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.session import Session
from corpus.project.takeover import Takeover
from corpus.project.telling.report import Report
from corpus.project.worker import stop_leftovers


def repair(minion: Minion, layout: Layout, who: str) -> str | None:
    """Bring a project whose last deployment died back to a whole state. Call it with the lock held.

    A deployment that had been committed is finished, unless its push was never accepted; any other is undone.

    :returns: what was done, in words, or None when there was nothing to repair
    :raises CorpusError: it did not work; the journal stays for the next try
    """
    _sweep(layout)
    journal = Journal.left_behind(layout)
    if journal is None:
        return None
    if not journal.entries:  # it died while it wrote its first line: nothing was done yet
        journal.close()
        return None
    begin = journal.entries[0]
    workers = {entry["pid"]: entry["born"] for entry in journal.entries if entry["step"] == "worker"}
    accepted, last = _accepted(layout, journal), _last_step(journal)
    stop_leftovers(None if accepted else begin["deployment"], workers)
    over = Takeover(layout, journal, begin["old"], begin["new"])
    with Session(minion, layout, "repair", who, deployment=begin["deployment"]) as session:
        session.console.headline(f"Repairing {layout.name}: {begin['kind']} {begin['deployment']} was interrupted")
        session.report = report = _report(layout, begin)
        report.result = accepted and _finished(session, over)
        problem = "" if report.result else _undone(session, over)
        _clean(layout)
        words = "It had succeeded already and was finished." if report.result else "What ran before runs again."
        report.release = begin["new"] if report.result else begin["old"]
        report.comment = f"Interrupted at {last}. {problem or words}"
        conclusion.look(session, over)
        stages.notify(session)
        conclusion.keep(session)
        journal.close()
        conclusion.say(session)
    return report.comment


def _report(layout: Layout, begin: dict[str, Any]) -> Report:
    report = Report(layout.name, begin["deployment"], begin["kind"], begin["who"], begin["when"])
    report.previous, report.revision = begin["old"], begin.get("revision")
    return report


def _accepted(layout: Layout, journal: Journal) -> bool:
    """Tell whether a deployment had been committed, and git moved the branches that it came by.

    git refuses a push whose hook dies: its branch, and often its objects, are not there then.
    """
    commit = journal.last("commit")
    if commit is None or not journal.stands("commit"):
        return False
    owner = pwd.getpwuid(layout.project_git.stat().st_uid).pw_name  # git obeys nobody else
    wanted = commit.get("awaits") or {}
    moved = all(
        repositories.head(layout.git / f"{name}.git", branch, owner) == revision
        for name, (branch, revision) in wanted.items()
    )
    revision = commit.get("revision")
    return moved and (revision is None or repositories.revision(layout.project_git, revision, owner) is not None)


def _finished(session: Session, over: Takeover) -> bool:
    """Do what was left to do after the commit; what cannot be finished is to be undone."""
    layout, commit = session.layout, over.journal.last("commit") or {}
    session.report.revision = commit.get("revision")
    try:
        _configure(session, over)
        if over.journal.last("formation"):
            changeover.finish(over)
            return True
        session.wire(layout.salt)
        stages.settle(session, over)
    except (CorpusError, OSError) as err:
        session.console.line(f"It cannot be finished: {session.explain(err)}")
        return False
    return True


def _configure(session: Session, over: Takeover) -> None:
    """Assemble the configuration of the tree that runs, with what its sls know of a deployment."""
    layout, report = session.layout, session.report
    session.configure(layout.project, layout.pillar, {})
    session.cfg["current_archive_dir"] = str(layout.archive(over.old or over.new))
    session.cfg["current_release_dir"] = str(layout.release(over.new))
    session.cfg["deployment"] = {
        "id": session.id,
        "kind": report.kind,
        "revision": report.revision,
        "previous": report.previous,
        "who": report.who,
    }


def _undone(session: Session, over: Takeover) -> str:
    """Bring back what ran, and then its configuration; return what of it did not work, in words."""
    layout = session.layout
    over.journal.record("rollback")
    if over.journal.last("formation"):
        changeover.undo(over)
        over.journal.record("undone")
        return " ".join(over.problems)
    kind = over.journal.entries[0]["kind"]
    if kind in ("rollback", workflow.SHORT):
        over.undo()
        if kind == workflow.SHORT:
            over.discard()
        over.journal.record("undone")
        return " ".join(over.problems)
    over.undo()
    with suppress(CorpusError):  # the configuration may be what broke; the trees are back without it
        _configure(session, over)
        if over.journal.last("commit"):
            configuration.store_snapshot(layout, session.cfg, session.console.redactor)
    try:
        stages.roll_back(session, over, in_place=session.cfg.get("operation_mode") == workflow.EDITABLE)
    except CorpusError as err:
        if not over.journal.last("undone"):
            raise
        return session.explain(err)  # the rollback sls, or a process: the next deployment may mend that
    return ""


def _sweep(layout: Layout) -> None:
    """Remove what sessions left that died when their journal was closed already, or never had one (a plan)."""
    trees.sweep(layout.sls)
    trees.sweep(layout.releases)
    yesterday = time.time() - 24 * 3600  # plans hold no lock: one may be under way
    for rest in (*layout.sls.glob("[0-9]*"), *layout.releases.glob(".plan-*")):
        if rest.stat().st_mtime < yesterday:
            trees.remove(rest)


def _clean(layout: Layout) -> None:
    """Remove halves that no record names, and make the records of wholes that lack one."""
    for archive in layout.archives.glob("[0-9]*"):  # a tree that was about to become an archive
        if (archive / "project").is_dir() and not (archive / MANIFEST).exists():
            files.write_json(archive / MANIFEST, {"release": archive.name, "from": "tree"})
    archives.rotate(layout, keep=1 << 30, spare=set())
    for folder in (layout.deployed, layout.releases, layout.failed, layout.deploy, *layout.deployed.glob("[0-9]*")):
        trees.sweep(folder)
    for half in layout.deployed.glob("[0-9]*/.restoring"):
        trees.remove(half)
    for link in layout.deployed.glob(".current.*.link"):
        link.unlink()


def _last_step(journal: Journal) -> str:
    words = [f"{entry['step']} {entry.get('stage', '')}".strip() for entry in journal.entries]
    return words[-1]
