"""Repair: a deployment that died (kill -9, a power cut) is finished or undone by the next call."""

from __future__ import annotations

from contextlib import suppress

from corpus.errors import CorpusError
from corpus.project import stages, workflow
from corpus.project.git import repositories
from corpus.project.keeping import archives, history, trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.session import Session
from corpus.project.takeover import Takeover
from corpus.project.telling.report import Report
from corpus.project.worker import stop_session


def repair(minion: Minion, layout: Layout, who: str) -> str | None:
    """Bring a project whose last deployment died back to a whole state. Call it with the lock held.

    A deployment that had been committed is finished, unless its push was never accepted; any other is undone.

    :returns: what was done, in words, or None when there was nothing to repair
    :raises CorpusError: it did not work; the journal stays for the next try
    """
    journal = Journal.left_behind(layout)
    if journal is None:
        return None
    if not journal.entries:  # it died while it wrote its first line: nothing was done yet
        journal.close()
        return None
    begin = journal.entries[0]
    for entry in journal.entries:
        if entry["step"] == "worker":
            stop_session(entry["pid"], entry["born"])
    over = Takeover(layout, journal, begin["old"], begin["new"])
    with Session(minion, layout, "repair", who) as session:
        session.console.headline(f"Repairing {layout.name}: {begin['kind']} {begin['deployment']} was interrupted")
        with suppress(CorpusError):  # the configuration may be what broke; the trees come back without it
            session.configure(layout.project, layout.pillar, {})
        if journal.last("commit") and _accepted(layout, session, journal):
            over.finish()
            words = "It had succeeded already and was finished."
            result = True
        else:
            _undo(session, over, begin["kind"])
            words = "What ran before runs again."
            result = False
        _clean(layout)
        report = Report(layout.name, begin["deployment"], begin["kind"], begin["who"], begin["when"], result=result)
        report.release = begin["new"] if result else begin["old"]
        report.previous = begin["old"]
        report.revision = begin.get("revision")
        report.comment = f"Interrupted at {_last_step(journal)}. {words}"
        report.stages = session.report.stages
        history.store(layout, report.record(session.console.redactor))
        journal.close()
        session.console.ending(report.comment)
    return report.comment


def _accepted(layout: Layout, session: Session, journal: Journal) -> bool:
    """Tell whether the revision that a deployment brought is in the repository: else git refused the push that died."""
    commit = journal.last("commit") or {}
    revision = commit.get("revision")
    return revision is None or repositories.revision(layout.project_git, revision, session.user) is not None


def _undo(session: Session, over: Takeover, kind: str) -> None:
    if kind == "rollback":
        over.undo()
        over.journal.record("undone")
        return
    session.report.kind = kind
    stages.roll_back(session, over, in_place=session.cfg.get("operation_mode") == workflow.EDITABLE)


def _clean(layout: Layout) -> None:
    """Remove halves that no record names."""
    archives.rotate(layout, keep=1 << 30, spare=set())
    for folder in (layout.deployed, layout.releases, layout.failed):
        trees.sweep(folder)
    for plan in layout.releases.glob(".plan-*"):
        trees.remove(plan)


def _last_step(journal: Journal) -> str:
    words = [f"{entry['step']} {entry.get('stage', '')}".strip() for entry in journal.entries]
    return words[-1]
