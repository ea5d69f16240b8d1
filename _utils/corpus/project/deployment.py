"""A deployment, from the push to the report. This page is its table of contents; each line of it is a room."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import conclusion, configuration, dot_salt, recovery, stages, suite, upgrades, workflow
from corpus.project.found import procfile
from corpus.project.keeping import lock, releases, trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.running import formation, front, view
from corpus.project.session import Request, Session, orderly_end
from corpus.project.takeover import Takeover
from corpus.project.telling.report import StageReport
from corpus.project.version import Version, check, settled

#: the tree that runs, as the worker sees it while the new one stands at its place
PREVIOUS = "previous"


def deploy(minion: Minion, name: str, request: Request) -> dict[str, Any]:
    """Deploy a project, or leave everything as it was.

    :returns: the report (see :class:`corpus.project.telling.report.Report`); ``result`` tells
    :raises CorpusError: it could not even begin: no such project, held by somebody, locked, nothing pushed
    """
    layout = Layout.existing(minion.roots, name)
    with lock.held(layout, "deploy", request.who, request.wait):
        recovery.repair(minion, layout, request.who)
        lock.check_open(layout)
        with orderly_end(), Session(minion, layout, "deploy", request.who) as session:
            return Deployment(session, request).run()


class Deployment:
    """One deployment of one project.

    :param session: that it runs in
    :param request: what was asked for
    """

    kind = "deploy"
    stages = workflow.STAGES

    def __init__(self, session: Session, request: Request) -> None:
        self.session, self.request = session, request
        self.layout, self.report, self.console = session.layout, session.report, session.console
        self.version = Version(session, request, self.layout.release(session.id))
        self.in_place = False
        self.settled = False

    def run(self) -> dict[str, Any]:
        """Deploy, or bring back what ran; tell everybody either way, and return the report."""
        self._begin()
        try:
            self._prepare()
            self._start_worker()
            for stage in workflow.STAGES:
                if stage in self.stages:
                    self._stage(stage)
                if stage.name == workflow.TESTS_AFTER and workflow.ALL["build"] in self.stages:
                    self._test()
                if stage.name == workflow.SWITCH_AFTER:
                    self._switch()
            self._commit()
        except (Exception, KeyboardInterrupt) as err:
            self._fail(err)
        return self._tell()

    def _begin(self) -> None:
        self.journal = Journal.begin(
            self.layout,
            deployment=self.session.id,
            kind=self.kind,
            who=self.request.who,
            when=self.report.when,
            old=self.layout.running(),
            new=self.session.id,
        )
        self.takeover = Takeover(self.layout, self.journal, self.layout.running(), self.session.id)

    def _prepare(self) -> None:
        if self._editable():
            self.in_place = True
            self._prepare_in_place()
        else:
            self.version.prepare()
            self.version.views = view.possible() and not self._stops()
            self.report.release = self.session.id
        self._announce()

    def _prepare_in_place(self) -> None:
        stages.prepare_editable(self.session, self.request)

    def _announce(self) -> None:
        """Say what begins, and let the sls know it."""
        cfg = self.session.cfg
        self.report.strategy = self._strategy()
        revision = self.report.revision[:10] if self.report.revision else "no revision"
        verb = "Planning" if self.session.test else "Deploying"
        self.console.headline(
            f"{verb} {self.layout.name} {self.session.id} ({cfg['operation_mode']}) at {revision} by {self.request.who}"
        )
        self.console.note(f"strategy: {self.report.strategy}")
        if not workflow.runs(workflow.ALL["release_sync"], cfg) or not cfg["release_artifacts_urls"]:
            stages.recognize(self.session)
        stages.say_notes(self.session)
        cfg["current_release_dir"] = str(self.layout.release(self.session.id))
        cfg["deployment"] = {
            "id": self.session.id,
            "kind": self.kind,
            "revision": self.report.revision,
            "previous": self.report.previous,
            "who": self.request.who,
        }
        self.session.begins(self._course())

    def _course(self) -> list[str]:
        """Return the names of the stages that will run, in their order."""
        cfg, course = self.session.cfg, []
        for stage in workflow.STAGES:
            if stage in self.stages and (stage.name == "initialization" or workflow.runs(stage, cfg)):
                course += [stage.name] if stage.name != "archive" or self.report.previous else []
            if stage.name == workflow.TESTS_AFTER and workflow.ALL["build"] in self.stages:
                tested = suite.Settings.configured(cfg) is not None and workflow.runs(workflow.TESTS, cfg)
                course += [workflow.TESTS.name] if tested else []
            if stage.name == workflow.SWITCH_AFTER:
                course.append(workflow.SWITCH)
        return course

    def _start_worker(self) -> None:
        """Start the worker early: Salt loads its states there while the archive is made here."""
        self.takeover.archives_old = self._stops()
        self.session.start_worker()
        self.journal.record("worker", **self.session.worker_facts)

    def _stops(self) -> bool:
        """Tell whether nothing runs while the new version is made, as it is asked for on small guests."""
        wanted = self.session.cfg["services_during_build"] == "stop"
        return wanted and not self.in_place and self.layout.running() is not None

    def _closes(self) -> bool:
        """Tell whether the upgrade is nothing that the old version would survive."""
        cfg = self.session.cfg
        if self.takeover.old is None or not workflow.runs(workflow.ALL["upgrade"], cfg):
            return False
        return bool(cfg["upgrade_maintenance"] or upgrades.closing(self.layout, self._tree() / ".salt"))

    def _strategy(self) -> str:
        """Say how the new version takes its place here."""
        if self._stops():
            return "services stopped during the build: project/ is moved to the archive and made anew"
        if self.in_place:
            return "in place: the developer's own tree"
        if self.version.views:
            return "beside what runs, taking its place by one exchange"
        return "exchanged before the build, because no private view is possible here; the old tree is kept whole"

    def _editable(self) -> bool:
        return bool(settled(self.session, self.request)["operation_mode"] == workflow.EDITABLE)

    def _stage(self, stage: workflow.Stage) -> None:
        """Run one stage with its mechanism, when the mode and the configuration want it."""
        session = self.session
        enters = stage.name == "initialization"
        if not enters and not workflow.runs(stage, session.cfg):
            session.skip(stage, workflow.why_not(stage, session.cfg))
            return
        if stage.name == "archive":
            if self.takeover.old is None:
                session.skip(stage, "nothing is deployed yet")
                return
            session.wire(self.layout.salt)
        self.journal.record("stage", stage=stage.name)
        if not workflow.runs(stage, session.cfg):  # only its sls can be left out: the new tree must be in place
            with session.stage(stage.name) as report:
                report.comment = f"{self._enter(report)}; its sls skipped: {workflow.why_not(stage, session.cfg)}"
            return
        before, after = self._mechanisms().get(stage.name, (None, None))
        session.run(stage, before, after)

    def _mechanisms(
        self,
    ) -> dict[str, tuple[Callable[[StageReport], str] | None, Callable[[StageReport], str] | None]]:
        """What corpus itself does in a stage, before and after its sls."""
        session = self.session
        return {
            "archive": (self._archive, None),
            "initialization": (self._enter, None),
            "release_sync": (
                functools.partial(stages.release_sync, session, self._tree(), self._reconfigure),
                None,
            ),
            "configure": (functools.partial(stages.before_configure, session), None),
            "build": (functools.partial(stages.wipe_build, session), None),
            "reconfigure": (functools.partial(stages.check_registrations, session), None),
            "activate": (None, self._start),
            "upgrade": (self._close, self._upgrade),
            "post_install": (None, self._run_last_scripts),
            "bundle": (
                functools.partial(stages.fill_deploy, session),
                functools.partial(stages.bundle, session),
            ),
        }

    def _archive(self, report: StageReport) -> str:
        words = self._stop()
        kept = stages.archive(self.session, str(self.takeover.old), report, content=False)
        return "; ".join(word for word in (words, kept) if word)

    def _stop(self) -> str:
        """Stop what runs when nothing may run during the build."""
        return self.takeover.stand_still(self.session.cfg, "a new version is being made") if self._stops() else ""

    def _close(self, _: StageReport) -> str:
        """Let nothing run that the upgrade would break, or that would write meanwhile."""
        return self.takeover.stand_still(self.session.cfg, "an upgrade is under way") if self._closes() else ""

    def _tree(self) -> Path:
        """Where the new tree is now, seen from outside of any view."""
        place = self.layout.project
        if self.in_place or not self.version.tree.is_dir() or self._exchanged():
            return place
        return self.version.tree

    def _exchanged(self) -> bool:
        noted = self.journal.last("exchange project")
        return bool(noted) and trees.identity(self.layout.project) == noted["new"]  # type: ignore[index]

    def _enter(self, report: StageReport) -> str:
        """Let the stages that follow see the new tree at its final path."""
        session, layout = self.session, self.layout
        session.wire(layout.salt, self._tree() / ".salt")
        if self.in_place:
            words = "your own tree, nothing was copied"
        elif self.version.views:
            beside = {PREVIOUS: str(layout.project)} if self.takeover.old else {}
            view.prepare(str(layout.folder), str(layout.view), tuple(beside))
            instead = {"project": str(self.version.tree)}
            if self.version.pillar.is_dir():
                instead["pillar"] = str(self.version.pillar)
            session.worker.enter(str(layout.folder), str(layout.view), instead, beside)
            session.cfg["previous_root"] = str(layout.folder / PREVIOUS) if beside else None
            words = "new tree prepared beside the running one"
        else:
            stopped = self._stop()
            self.takeover.exchange_tree()
            self.takeover.exchange_pillar()
            session.cfg["previous_root"] = str(self.takeover.old_tree) if self.takeover.old else None
            if self._stops():
                words = "; ".join(word for word in (stopped, "the old tree moved to its archive") if word)
            else:
                words = "exchanged before the build (no private view is possible here), the old tree is kept whole"
        session.sls("deploy", report)
        return words

    def _reconfigure(self) -> None:
        """A release brought its own tree: what it says of itself counts."""
        tree = self._tree()
        dot_salt.complete(tree / ".salt", self.session.user, self.session.cfg["group"])
        stages.configure(self.session, tree, self.version.pillar_now, self.request.settings)
        check(self.session.cfg)
        stages.recognize(self.session)
        self.session.wire(self.layout.salt, tree / ".salt")

    def _start(self, _: StageReport) -> str:
        """Start the new version's processes beside the old one's."""
        cfg = self.session.cfg
        release = self.takeover.new
        if self.in_place:
            self.layout.release(release).mkdir(mode=0o711, exist_ok=True)
        formation.specify(self.layout, release, cfg, self._tree(), self.version.views)
        words = [stages.run_script(self.session, "predeploy", cfg["scripts"].get("predeploy"))]
        words.append(self._pause())
        words.append(self._late() or self._start_processes())
        return "; ".join(word for word in words if word)

    def _pause(self) -> str:
        """In a developer's tree, stop what may not run twice right before its successor starts; elsewhere it stopped before."""
        alone = self.in_place and self.session.cfg["services_during_build"] == "stop"
        return self.takeover.stand_still(self.session.cfg, "a new version is being started") if alone else ""

    def _start_processes(self) -> str:
        kinds = self.takeover.start()
        return f"started {', '.join(kinds)}" if kinds else ""

    def _released_first(self) -> bool:
        """Tell whether a ``release`` process will run: what it prepares, the others may need to stay up at all."""
        upgrade, cfg = workflow.ALL["upgrade"], self.session.cfg
        runs = upgrade in self.stages and workflow.runs(upgrade, cfg) and workflow.runs(workflow.ALL["activate"], cfg)
        return runs and bool(cfg["processes"].get(procfile.RELEASE))

    def _late(self) -> str:
        """Say what the new processes wait for when they are not started in activate."""
        if self._closes() and workflow.runs(workflow.ALL["activate"], self.session.cfg):
            return "processes wait for the upgrade, beside which nothing may run"
        return "processes wait for the release process" if self._released_first() else ""

    def _upgrade(self, report: StageReport) -> str:
        """Run what is done once for this version, and start the processes that had to wait for it."""
        late = self._late()  # asked now: a step that is done says nothing any more
        words = [stages.upgrade(self.session, self._tree() / ".salt", self.journal, report)]
        words.append(self._start_processes() if late else "")
        return "; ".join(word for word in words if word)

    def _run_last_scripts(self, _: StageReport) -> str:
        """Run what comes last: after every deployment, and after the first alone."""
        scripts = self.session.cfg["scripts"]
        words = [stages.run_script(self.session, "postdeploy", scripts.get("postdeploy"))]
        if self.takeover.old is None:
            words.append(stages.run_script(self.session, "setup", scripts.get("setup")))
        return "; ".join(word for word in words if word)

    def _test(self) -> None:
        """Run the project's own test suite, before anything of the new version runs or touches data."""
        session, cfg = self.session, self.session.cfg
        settings = suite.Settings.configured(cfg)
        if settings is None:
            return
        if not workflow.runs(workflow.TESTS, cfg):
            session.skip(workflow.TESTS, workflow.why_not(workflow.TESTS, cfg))
            return
        with session.stage(workflow.TESTS.name) as stage:
            self.journal.record("stage", stage=workflow.TESTS.name)
            say, views = self.console.line, self.version.views and not self.in_place
            done = suite.run(self.layout, session.id, cfg, settings, say, self._tree(), views)
            self.report.tests = done
            self.report.notes += done.problems
            if done.good:
                stage.comment = done.words
            elif settings.required:
                first = f": {done.failures[0].name}: {done.failures[0].message}" if done.failures else ""
                raise CorpusError(f"{done.words}{first}")
            else:
                stage.comment = f"{done.words}; not required (tests.required)"
                self.report.notes.append(f"The tests failed ({done.words}), and are not required.")

    def _switch(self) -> None:
        """The new version proves itself and takes over: health check, exchange, web front."""
        with self.session.stage(workflow.SWITCH) as report:
            stages.check_pusher(self.request)
            self.journal.record("stage", stage=workflow.SWITCH)
            words = [self.takeover.prove(self.session.cfg)]
            if not self.in_place:
                front.document_root(self.session.cfg, self._tree())
                self.takeover.exchange_tree()
                self.takeover.exchange_pillar()
                words.append("project/ exchanged")
            served = self.takeover.serve(self.session.cfg)
            words.append(f"served at {served}" if served else "")
            self.report.url = served or None
            report.comment = "; ".join(word for word in words if word)

    def _commit(self) -> None:
        """From here on the new version is the one; a crash is finished, not undone."""
        session, layout = self.session, self.layout
        releases.describe(layout, session.id, session.cfg, stages.facts(session))
        configuration.keep_environment(layout, session.id)
        pushed = None if self.in_place else session.report.revision
        stages.check_pusher(self.request)
        self.journal.record("commit", revision=pushed, awaits=stages.awaited(session, self.request))
        try:
            stages.settle(session, self.takeover)
        except (CorpusError, OSError) as err:
            session.report.comment = f"{self._done()}, but what it leaves to tidy up failed: {session.explain(err)}"
        else:
            self.settled = True
            session.report.comment = f"{self._done()} in {session.seconds:.1f} s."

    def _done(self) -> str:
        """Say what was done, for the report."""
        return f"Deployed {self.report.revision[:10] if self.report.revision else self.session.id}"

    def _fail(self, err: BaseException) -> None:
        """Bring back what ran, and say what happened."""
        session, report = self.session, self.report
        report.result, report.comment = False, session.explain(err)
        try:
            self._bring_back()
        except (Exception, KeyboardInterrupt) as worse:
            report.comment += f" And the rollback did not work: {session.explain(worse)}"
        report.release = report.previous
        upgrading = any(entry.get("stage") == "upgrade" for entry in self.journal.entries)
        if upgrading and self.journal.last("stand still"):
            report.comment += (
                " The upgrade had begun behind the maintenance page: what it did to data and databases stays as it is, "
                "but for what the rollback sls takes back."
            )

    def _bring_back(self) -> None:
        stages.roll_back(self.session, self.takeover, self.in_place)

    def _tell(self) -> dict[str, Any]:
        """Notify, write the record, close the journal. Always."""
        session, report = self.session, self.report
        report.seconds = session.seconds
        conclusion.look(session, self.takeover, self.in_place)
        stages.notify(session)
        conclusion.keep(session)
        if self.settled or self.journal.last("undone"):
            self.journal.close()  # else the next call finishes or undoes what is left
        conclusion.say(session)
        return report.told(self.console.redactor)
