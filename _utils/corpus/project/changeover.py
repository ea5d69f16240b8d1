"""A changeover: processes of the release that runs take the place of others of it, and no request is lost.

Scaling, restarting and activating are this. What comes is started beside what runs and must be well; then the front
sends requests to those that shall be there; then those that shall not finish what they have, and stop. Before the
journal's ``commit`` it can be undone, after it finished, by another process, after a crash at any line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus import files
from corpus.errors import CorpusError
from corpus.project import configuration
from corpus.project.keeping.journal import Journal
from corpus.project.minion import merged
from corpus.project.running import formation, supervision
from corpus.project.session import Session, undisturbed
from corpus.project.takeover import Takeover


def change(session: Session, release: str, wanted: Mapping[str, Any], kind: str, settings: Mapping[str, Any]) -> str:
    """Let the running release have other processes, or leave those that it has.

    :param wanted: the specification to come; processes that stand in both are left alone
    :param kind: of the journal: scale, restart, activate
    :param settings: to save when it worked
    :returns: what was done, in words
    :raises CorpusError: what came is not well; what ran runs
    """
    layout = session.layout
    now = formation.specified(layout, release)
    added = sorted(set(wanted["processes"]) - set(now["processes"]))
    removed = sorted(set(now["processes"]) - set(wanted["processes"]))
    journal = Journal.begin(
        layout,
        deployment=session.id,
        kind=kind,
        who=session.report.who,
        when=session.report.when,
        old=release,
        new=release,
    )
    over = Takeover(layout, journal, release, release)
    try:
        files.write_json(layout.processes_before(release), now)
        journal.record("formation", added=added, removed=removed)
        both = {**wanted, "processes": {**now["processes"], **wanted["processes"]}}
        formation.write(layout, release, both)
        supervision.start(over.supervisor, layout, release, added)
        over.prove(session.cfg, added)
        served = over.serve(session.cfg, formation.ports_of(wanted))
        journal.record("commit", settings=dict(settings))
    except (Exception, KeyboardInterrupt):
        undisturbed()
        journal.record("rollback")
        undo(over)
        if over.problems:
            raise CorpusError(" ".join(over.problems)) from None
        journal.close()
        raise
    finish(over)
    journal.close()
    words = [f"started {', '.join(added)}" if added else "", f"stopped {', '.join(removed)}" if removed else ""]
    return "; ".join(word for word in [*words, f"served at {served}" if served else ""] if word) or "nothing to do"


def finish(over: Takeover) -> None:
    """After the commit: those that shall not be there any more finish their requests and stop. May be called again."""
    layout, release, noted = over.layout, over.new, over.journal.last("formation") or {}
    commit = over.journal.last("commit") or {}
    if commit.get("settings"):
        stored = configuration.stored_settings(layout)
        configuration.store_settings(layout, merged(stored, commit["settings"]))
    wanted = formation.specified(layout, release)
    removed = noted.get("removed", [])
    if removed:
        over.front.drain(float(wanted["drain"]))
        over.supervisor.remove(supervision.group_name(layout, release), removed)
    for name in removed:
        wanted["processes"].pop(name, None)
    formation.write(layout, release, wanted)
    layout.processes_before(release).unlink(missing_ok=True)


def undo(over: Takeover) -> None:
    """Bring back the processes that ran before, and the front to them. May be called again, by another process."""
    layout, release, noted = over.layout, over.new, over.journal.last("formation") or {}
    before = files.read_json(layout.processes_before(release))
    if before is not None:
        formation.write(layout, release, before)
    over.undo()
    over.supervisor.remove(supervision.group_name(layout, release), noted.get("added", []))
    layout.processes_before(release).unlink(missing_ok=True)
