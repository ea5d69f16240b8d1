"""A deployment, from the push to the report. This page is its table of contents; each line of it is a room."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus import identifiers
from corpus.errors import UsageError
from corpus.project import configuration, initialization, recovery, stages, workflow
from corpus.project.git import repositories
from corpus.project.keeping import history, lock, releases, trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.running import front, health, supervision, view
from corpus.project.session import Request, Session, orderly_end
from corpus.project.takeover import Takeover
from corpus.project.telling import notifications
from corpus.project.telling.report import StageReport


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


def plan(minion: Minion, name: str, request: Request) -> dict[str, Any]:
    """Tell what :func:`deploy` would change, stage by stage, and change nothing.

    :returns: the report; its states' ``result`` is None where something would change
    """
    layout = Layout.existing(minion.roots, name)
    with orderly_end(), Session(minion, layout, "plan", request.who, test=True) as session:
        return Plan(session, request).run()


class _Version:
    """The version that comes: its tree, its pillar, its configuration, prepared apart from what runs."""

    def __init__(self, session: Session, request: Request, folder: Path) -> None:
        self.session, self.request, self.layout = session, request, session.layout
        self.folder = folder
        self.tree = folder / "project"
        self.pillar = folder / "pillar"
        self.views = False

    def prepare(self) -> None:
        """Bring the pushed tree and pillar to a place of their own, and assemble the configuration from them.

        :raises UsageError: nothing was pushed yet
        """
        session, layout = self.session, self.layout
        settings = {**configuration.stored_settings(layout), **self.request.settings}
        before = initialization.settled(session.minion, layout, settings)
        user = before["user"] if session.minion.privileged else None
        revision = self.request.revision or repositories.head(layout.project_git, before["project_branch"], user)
        env = dict(self.request.project_env)
        if revision and repositories.revision(layout.project_git, revision, user, _reach(env)) is None:
            raise UsageError(f"There is no revision {identifiers.shown(revision)} in {layout.project_git}.")
        if revision is None and not before["release_artifacts_urls"]:
            raise UsageError(
                f"Nothing was pushed to {layout.name!r} yet: "
                f"git push {initialization.remote(before, layout.project_git)} HEAD:{before['project_branch']}"
            )
        session.report.revision = revision
        session.borrowed = _reach(env)
        self.folder.mkdir(mode=0o711)
        stages.own(self.tree, user, before["group"], make=True)
        self._check_out(layout.project_git, self.tree, revision, before["project_branch"], before["url"], user, env)
        self._prepare_pillar(before, user)
        initialization.write_missing_sls(self.tree / ".salt", user, before["group"])
        session.configure(self.tree, self.pillar if self.pillar.is_dir() else layout.pillar, self.request.settings)
        health.Check.configured(session.cfg)
        notifications.check(session.cfg)
        front.check_names(session.cfg)

    def _prepare_pillar(self, cfg: dict[str, Any], user: str | None) -> None:
        layout = self.layout
        revision = self.request.pillar_revision or repositories.head(layout.pillar_git, cfg["pillar_branch"], user)
        if revision is None or revision == repositories.revision(layout.pillar, "HEAD", user):
            return
        stages.own(self.pillar, user, cfg["group"], make=True)
        self.pillar.chmod(0o700)
        self._check_out(
            layout.pillar_git,
            self.pillar,
            revision,
            cfg["pillar_branch"],
            cfg["pillar_url"],
            user,
            dict(self.request.pillar_env),
        )

    @staticmethod
    def _check_out(
        bare: Path,
        tree: Path,
        revision: str | None,
        branch: str,
        url: str | None,
        user: str | None,
        env: dict[str, str],
    ) -> None:
        repositories.check_out(bare, tree, revision, branch=branch, url=url, user=user, env=env)


def _reach(env: dict[str, str]) -> dict[str, str]:
    path = env.get("GIT_QUARANTINE_PATH")
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": path} if path else {}


class Deployment:
    """One deployment of one project.

    :param session: that it runs in
    :param request: what was asked for
    """

    def __init__(self, session: Session, request: Request) -> None:
        self.session, self.request = session, request
        self.layout, self.report, self.console = session.layout, session.report, session.console
        self.version = _Version(session, request, self.layout.release(session.id))
        self.in_place = False

    def run(self) -> dict[str, Any]:
        """Deploy, or bring back what ran; tell everybody either way, and return the report."""
        self._begin()
        try:
            self._prepare()
            for stage in workflow.STAGES:
                self._stage(stage)
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
            kind="deploy",
            who=self.request.who,
            when=self.report.when,
            old=self.layout.running(),
            new=self.session.id,
        )
        self.takeover = Takeover(self.layout, self.journal, self.layout.running(), self.session.id)

    def _prepare(self) -> None:
        if self._editable():
            self.in_place = True
            stages.prepare_editable(self.session, self.request)
        else:
            self.version.prepare()
            self.version.views = view.possible()
            self.report.release = self.session.id
        cfg = self.session.cfg
        self.report.strategy = (
            "in place, the developer's own tree"
            if self.in_place
            else "beside what runs, taking its place by one exchange"
            if self.version.views
            else "exchanged before the build (no private view is possible here), restarted plainly"
        )
        revision = (self.report.revision or "no revision")[:10]
        self.console.headline(
            f"Deploying {self.layout.name} {self.session.id} ({cfg['operation_mode']}) at {revision} by {self.request.who}"
        )
        self.console.headline(f"Strategy: {self.report.strategy}")
        cfg["current_release_dir"] = str(self.layout.release(self.session.id))
        cfg["deployment"] = {
            "id": self.session.id,
            "kind": "deploy",
            "revision": self.report.revision,
            "previous": self.report.previous,
            "who": self.request.who,
        }

    def _editable(self) -> bool:
        settings = {**configuration.stored_settings(self.layout), **self.request.settings}
        mode = initialization.settled(self.session.minion, self.layout, settings)["operation_mode"]
        return bool(mode == workflow.EDITABLE)

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
        before, after = self._mechanisms().get(stage.name, (None, None))
        session.run(stage, before, after)

    def _mechanisms(
        self,
    ) -> dict[str, tuple[Callable[[StageReport], str] | None, Callable[[StageReport], str] | None]]:
        """What corpus itself does in a stage, before and after its sls."""
        session = self.session
        return {
            "archive": (functools.partial(stages.archive, session, self.takeover.old or session.id), None),
            "initialization": (self._enter, None),
            "release_sync": (
                functools.partial(stages.release_sync, session, self._tree(), self._reconfigure),
                None,
            ),
            "build": (functools.partial(stages.wipe_build, session), None),
            "activate": (None, self._start),
            "upgrade": (
                None,
                functools.partial(stages.upgrade, session, self._tree() / ".salt", self.journal),
            ),
            "bundle": (
                functools.partial(stages.fill_deploy, session),
                functools.partial(stages.bundle, session),
            ),
        }

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
            words = "the tree is yours, nothing was copied"
        elif self.version.views:
            view.prepare(str(layout.folder), str(layout.view))
            instead = {"project": str(self.version.tree)}
            if self.version.pillar.is_dir():
                instead["pillar"] = str(self.version.pillar)
            session.worker.enter(str(layout.folder), str(layout.view), instead)
            words = "new tree prepared beside the running one"
        else:
            self.takeover.exchange_tree()
            self.takeover.exchange_pillar()
            words = "trees exchanged, the old one is kept whole"
        self.journal.record("worker", **session.worker_facts)
        session.sls("deploy", report)
        return words

    def _reconfigure(self) -> None:
        """A release brought its own tree: what it says of itself counts."""
        tree = self._tree()
        initialization.write_missing_sls(tree / ".salt", self.session.user, self.session.cfg["group"])
        pillar = self.version.pillar if self.version.pillar.is_dir() else self.layout.pillar
        self.session.configure(tree, pillar, self.request.settings)
        self.session.wire(self.layout.salt, tree / ".salt")

    def _start(self, _: StageReport) -> str:
        """Start the new version's processes beside the old one's."""
        cfg = self.session.cfg
        release = self.takeover.new
        if self.in_place:
            self.layout.release(release).mkdir(mode=0o711, exist_ok=True)
        supervision.specify(self.layout, release, cfg, self._tree(), self.version.views)
        kinds = self.takeover.start()
        return f"started {', '.join(kinds)}" if kinds else ""

    def _switch(self) -> None:
        """The new version proves itself and takes over: health check, exchange, web front."""
        with self.session.stage(workflow.SWITCH) as report:
            self.journal.record("stage", stage=workflow.SWITCH)
            words = [self.takeover.prove(self.session.cfg)]
            if not self.in_place:
                front.document_root(self.session.cfg, self._tree())
                self.takeover.exchange_tree()
                self.takeover.exchange_pillar()
                words.append("project/ exchanged")
            served = self.takeover.serve(self.session.cfg)
            words.append(f"served at {served}" if served else "")
            report.comment = "; ".join(word for word in words if word)

    def _commit(self) -> None:
        """From here on the new version is the one; a crash is finished, not undone."""
        session, layout = self.session, self.layout
        releases.describe(layout, session.id, session.cfg, stages.facts(session))
        self.journal.record("commit", revision=session.report.revision)
        stages.settle(session, self.takeover)
        session.report.comment = f"Deployed {(session.report.revision or session.id)[:10]} in {session.seconds:.1f} s."

    def _fail(self, err: BaseException) -> None:
        """Bring back what ran, and say what happened."""
        session, report = self.session, self.report
        report.result, report.comment = False, session.explain(err)
        try:
            stages.roll_back(session, self.takeover, self.in_place)
        except (Exception, KeyboardInterrupt) as worse:
            report.comment += f" And the rollback did not work: {session.explain(worse)}"
        report.release = report.previous

    def _tell(self) -> dict[str, Any]:
        """Notify, write the record, close the journal. Always."""
        session, report = self.session, self.report
        report.seconds = session.seconds
        stages.notify(session)
        history.store(self.layout, report.record(self.console.redactor))
        if report.result or self.journal.last("undone"):
            self.journal.close()
        self.console.ending(report.comment)
        return report.told(self.console.redactor)


class Plan(Deployment):
    """A deployment that is only told: the new version is prepared apart, its sls run with ``test=True``, nothing stays."""

    def __init__(self, session: Session, request: Request) -> None:
        super().__init__(session, request)
        self.version = _Version(session, request, self.layout.releases / f".plan-{session.id}")

    def run(self) -> dict[str, Any]:
        """Tell what would change and return the report."""
        report = self.report
        report.result = None
        try:
            self._prepare()
            self.session.cfg["current_archive_dir"] = str(self.layout.archive(self.layout.running() or self.session.id))
            self._see()
            for stage in workflow.STAGES:
                if workflow.runs(stage, self.session.cfg):
                    self.session.run(stage, functools.partial(self._foretell, stage.name))
                else:
                    self.session.skip(stage, workflow.why_not(stage, self.session.cfg))
            report.comment = "This is what would change; nothing was changed."
        except (Exception, KeyboardInterrupt) as err:
            report.result, report.comment = False, f"It would fail. {self.session.explain(err)}"
        finally:
            self.session.dismiss_worker()
            trees.remove(self.version.folder)
        self.console.ending(report.comment)
        return report.told(self.console.redactor)

    def _see(self) -> None:
        """Let the sls see the new tree: at its final path where a view is possible, else where it stands."""
        session, layout = self.session, self.layout
        if self.in_place:
            session.wire(layout.salt)
        elif self.version.views:
            session.wire(layout.salt, self.version.tree / ".salt")
            view.prepare(str(layout.folder), str(layout.view))
            session.worker.enter(str(layout.folder), str(layout.view), {"project": str(self.version.tree)})
        else:
            session.wire(self.version.tree / ".salt")

    def _foretell(self, stage: str, _: StageReport) -> str:
        """Say what corpus itself would do in a stage."""
        cfg, layout = self.session.cfg, self.layout
        if stage == "archive":
            running = layout.running()
            return f"would archive {running}" if running else "nothing is deployed yet"
        if stage == "release_sync":
            urls = cfg["release_artifacts_urls"]
            return (
                f"would fetch and unpack {len(urls)} artifacts"
                if urls
                else "no artifacts: the pushed tree is the release"
            )
        if stage == "activate":
            kinds = sorted(set(cfg["processes"] or supervision.procfile(self._plan_tree())) - {"release"})
            return (
                f"would start {', '.join(kinds)}, check their health, and exchange the trees"
                if kinds
                else "would exchange the trees"
            )
        if stage == "upgrade":
            from corpus.project import upgrades

            steps = upgrades.to_do(layout, self._plan_tree() / ".salt")
            return f"would run the steps {', '.join(steps)}" if steps else ""
        if stage == "bundle":
            return "would pack a release"
        return ""

    def _plan_tree(self) -> Path:
        return self.layout.project if self.in_place else self.version.tree
