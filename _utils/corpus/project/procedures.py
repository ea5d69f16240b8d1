"""One stage alone, on the tree that runs: for repairs by hand and for trying a stage out."""

from __future__ import annotations

from typing import Any

from corpus.errors import CorpusError, UsageError
from corpus.project import changeover, conclusion, recovery, stages, workflow
from corpus.project.git import repositories
from corpus.project.keeping import history, lock
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.running import formation, view
from corpus.project.session import Request, Session, orderly_end
from corpus.project.telling.report import Report, StageReport


def run(minion: Minion, name: str, stage: str, request: Request, step: str | None = None) -> dict[str, Any]:
    """Run one stage on the running tree, whatever the mode says; nothing is rolled back.

    :param stage: of :data:`corpus.project.workflow.ALL`, but for rollback and notify
    :param step: for ``upgrade``: run this step alone
    :returns: the report
    :raises UsageError: the stage needs a deployed release and there is none
    """
    layout = Layout.existing(minion.roots, name)
    with lock.held(layout, stage, request.who, request.wait):
        recovery.repair(minion, layout, request.who)
        lock.check_open(layout)
        with orderly_end(), Session(minion, layout, stage, request.who) as session:
            return _Procedure(session, request, step).run(workflow.ALL[stage])


class _Procedure:
    def __init__(self, session: Session, request: Request, step: str | None) -> None:
        self.session, self.request, self.step = session, request, step
        self.layout, self.report = session.layout, session.report

    def run(self, stage: workflow.Stage) -> dict[str, Any]:
        session, layout, report = self.session, self.layout, self.report
        release = layout.running()
        if release is None and stage.name in ("archive", "activate", "bundle"):
            raise UsageError(f"Nothing of {layout.name!r} is deployed yet: {stage.name} needs a release that runs.")
        report.release = release
        session.configure(layout.project, layout.pillar, self.request.settings)
        report.revision = repositories.revision(layout.project, "HEAD", session.user)
        session.cfg["current_release_dir"] = str(layout.release(release or session.id))
        session.cfg["deployment"] = {
            "id": session.id,
            "kind": stage.name,
            "revision": report.revision,
            "who": report.who,
        }
        session.wire(layout.salt)
        session.console.headline(f"{layout.name}: {stage.name} by {report.who}")
        try:
            before, after = self._mechanism(stage.name, release or session.id)
            session.run(stage, before, after)
            report.comment = f"{stage.name} done in {session.seconds:.1f} s."
        except (Exception, KeyboardInterrupt) as err:
            report.result, report.comment = False, session.explain(err)
        report.mode = session.cfg["operation_mode"]
        conclusion.keep(session)
        conclusion.say(session)
        return report.told(session.console.redactor)

    def _mechanism(self, stage: str, release: str) -> tuple[Any, Any]:
        session, layout = self.session, self.layout
        journal = _Unjournaled(layout)
        mechanisms: dict[str, tuple[Any, Any]] = {
            "archive": (lambda report: stages.archive(session, release, report), None),
            "release_sync": (
                lambda report: stages.release_sync(session, layout.project, self._rewire, report),
                None,
            ),
            "configure": (lambda report: stages.before_configure(session, report), None),
            "build": (lambda report: stages.wipe_build(session, report), None),
            "reconfigure": (
                lambda report: stages.check_registrations(session, report),
                lambda report: self._register(),
            ),
            "activate": (None, lambda report: self._restart(release, report)),
            "upgrade": (
                None,
                lambda report: stages.upgrade(session, layout.salt, journal, report, self.step),
            ),
            "bundle": (
                lambda report: stages.fill_deploy(session, report),
                lambda report: stages.bundle(session, report),
            ),
        }
        return mechanisms.get(stage, (None, None))

    def _register(self) -> str:
        stages.register(self.session)
        return ""

    def _rewire(self) -> None:
        self.session.configure(self.layout.project, self.layout.pillar, self.request.settings)
        self.session.wire(self.layout.salt)

    def _restart(self, release: str, report: StageReport) -> str:
        """Let processes as the configuration has them now take the place of those that run; no request is lost."""
        session, layout = self.session, self.layout
        now = formation.specified(layout, release)["processes"]
        wanted = formation.specification_of(layout, release, session.cfg, layout.project, view.possible(), taken=now)
        return changeover.change(session, release, wanted, "activate", {})


class _Unjournaled(Journal):
    """A journal for what needs no undoing: nothing is written."""

    def record(self, step: str, **facts: Any) -> None:
        self.entries.append({"step": step, **facts})


_KNOWN = ("kind", "revision", "previous", "who")
_TOLD = ("deployment", "kind", "who", "when", "result", "comment", "revision", "release")


def notify(minion: Minion, name: str, request: Request) -> dict[str, Any]:
    """Send the result of the last deployment again.

    :raises CorpusError: there was none, or a message could not be sent
    """
    layout = Layout.existing(minion.roots, name)
    records = history.listing(layout, 1)
    if not records:
        raise UsageError(f"{name!r} was never deployed: there is nothing to tell yet.")
    last = records[0]
    with Session(minion, layout, "notify", request.who, test=False) as session:
        session.configure(layout.project, layout.pillar, request.settings)
        session.wire(layout.salt)
        session.cfg["deployment"] = {"id": last["deployment"], **{key: last.get(key) for key in _KNOWN}}
        told: dict[str, Any] = {key: last.get(key) for key in _TOLD}
        session.report = Report(name=name, seconds=last["seconds"], **told)
        session.report.stages = [
            StageReport(stage, row["result"], row["seconds"], row["comment"]) for stage, row in last["stages"].items()
        ]
        stages.notify(session)
        sent = session.report.stages[-1]
        if sent.stage == workflow.NOTIFY.name and sent.result is False:
            raise CorpusError(sent.comment)
        return session.report.told(session.console.redactor)
