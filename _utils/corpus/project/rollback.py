"""Rollback on demand: a release that is kept takes the place of the one that runs."""

from __future__ import annotations

from typing import Any

from corpus.errors import UsageError
from corpus.identifiers import release_id
from corpus.project import conclusion, configuration, recovery, stages, workflow
from corpus.project.git import repositories
from corpus.project.keeping import lock, releases, trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.running import formation, view
from corpus.project.session import Request, Session, orderly_end
from corpus.project.takeover import Takeover


def roll_back(minion: Minion, name: str, request: Request, release: str | None = None) -> dict[str, Any]:
    """Go back to a release.

    Its processes are started beside the running ones and must be well before they take over; the trees change places
    in one step. A release whose tree is kept whole needs no copying, so it takes the same time whatever its size.

    :param release: id; None: the one that ran before
    :returns: the report
    :raises UsageError: it is not kept, or runs already
    """
    layout = Layout.existing(minion.roots, name)
    with lock.held(layout, "roll back", request.who, request.wait):
        recovery.repair(minion, layout, request.who)
        lock.check_open(layout)
        chosen = choose(layout, release)
        with orderly_end(), Session(minion, layout, "rollback", request.who) as session:
            return _Rollback(session, request, chosen).run()


def choose(layout: Layout, release: str | None) -> dict[str, Any]:
    """Return the listing's entry of the release to go back to.

    :raises UsageError: there is none, or it is not kept
    """
    kept = {entry["release"]: entry for entry in releases.listing(layout) if entry["kept"]}
    running = layout.running()
    if release is None:
        release = releases.before(layout)
        if release is None:
            raise UsageError(
                f"There is no release of {layout.name!r} to go back to: see mc_project.list_releases {layout.name}."
            )
    if release_id(release) == running:
        raise UsageError(f"{release} is what runs.")
    if release not in kept:
        choices = ", ".join(sorted(set(kept) - {running or ""}, reverse=True)) or "none"
        raise UsageError(f"{release} is not kept (any more): {layout.name!r} can go back to {choices}.")
    return kept[release]


class _Rollback:
    """One rollback of one project."""

    def __init__(self, session: Session, request: Request, chosen: dict[str, Any]) -> None:
        self.session, self.request, self.chosen = session, request, chosen
        self.layout, self.report = session.layout, session.report
        self.release = str(chosen["release"])

    def run(self) -> dict[str, Any]:
        """Go back, or leave everything as it was."""
        session, layout, report = self.session, self.layout, self.report
        old = layout.running()
        self.journal = Journal.begin(
            layout,
            deployment=session.id,
            kind="rollback",
            who=self.request.who,
            when=report.when,
            old=old,
            new=self.release,
        )
        self.takeover = Takeover(layout, self.journal, old, self.release)
        report.release, report.revision = self.release, self.chosen["revision"]
        session.console.headline(
            f"Rolling {layout.name} back to {self.release} ({(report.revision or '')[:10]}) by {report.who}"
        )
        try:
            self._bring()
            self._take_over()
            self._commit()
        except (Exception, KeyboardInterrupt) as err:
            self._fail(err)
        report.seconds = session.seconds
        conclusion.look(session, self.takeover)
        stages.notify(session)
        conclusion.keep(session)
        if report.result or self.journal.last("undone"):
            self.journal.close()
        conclusion.say(session)
        return report.told(session.console.redactor)

    def _bring(self) -> None:
        """Have the release's tree whole beside the running one, and its configuration assembled."""
        layout, session = self.layout, self.session
        tree = layout.tree(self.release)
        if self.chosen["kept"] == "archive":
            with session.stage("restore") as stage:
                self.journal.record("restore", release=self.release)
                half = layout.release(self.release) / ".restoring"
                trees.remove(half)
                trees.copy(layout.archive(self.release) / "project", half)
                half.rename(tree)
                stage.comment = "tree copied from its archive"
        self._bring_environment()
        session.configure(tree, layout.pillar, self.request.settings)
        session.cfg["current_archive_dir"] = str(layout.archive(self.release))
        session.cfg["current_release_dir"] = str(layout.release(self.release))
        session.cfg["deployment"] = {
            "id": session.id,
            "kind": "rollback",
            "revision": self.report.revision,
            "who": self.report.who,
        }
        session.begins([workflow.SWITCH, workflow.ROLLBACK.name])

    def _bring_environment(self) -> None:
        """Save the environment again that the release was deployed with: its processes have it, and the next deployment
        must not bring back what is rolled back here."""
        kept = configuration.kept_environment(self.layout, self.release)
        settings = configuration.stored_settings(self.layout)
        now = settings.get("env", {})
        if kept is None or kept == now:
            return
        self.takeover.change_settings({**settings, "env": kept})
        names = sorted(name for name in {*kept, *now} if kept.get(name) != now.get(name))
        self.report.notes.append(f"In the saved environment, {', '.join(names)} is again as {self.release} had it.")

    def _take_over(self) -> None:
        with self.session.stage(workflow.SWITCH) as stage:
            self.journal.record("stage", stage=workflow.SWITCH)
            cfg, layout = self.session.cfg, self.layout
            if layout.processes(self.release).exists():
                formation.with_new_ports(layout, self.release)
            else:
                formation.specify(layout, self.release, cfg, layout.tree(self.release), view.possible())
            kinds = self.takeover.start()
            words = [f"started {', '.join(kinds)}" if kinds else "", self.takeover.prove(cfg)]
            self.takeover.exchange_tree()
            words.append("project/ exchanged")
            served = self.takeover.serve(cfg)
            words.append(f"served at {served}" if served else "")
            self.report.url = served or None
            stage.comment = "; ".join(word for word in words if word)
        with self.session.stage(workflow.ROLLBACK.name) as stage:
            stages.run_hook(self.session, self.release, stage)

    def _commit(self) -> None:
        layout, cfg, session = self.layout, self.session.cfg, self.session
        self.journal.record("commit", revision=self.report.revision)
        self.takeover.finish()
        if self.report.revision and cfg["operation_mode"] != workflow.EDITABLE:
            repositories.set_branch(layout.project_git, cfg["project_branch"], self.report.revision, session.user)
        stages.register(session)
        releases.rotate(layout, cfg)
        self.report.comment = f"Rolled back to {self.release} in {session.seconds:.1f} s."

    def _fail(self, err: BaseException) -> None:
        report, session = self.report, self.session
        report.result, report.comment = False, f"Not rolled back. {session.explain(err)}"
        report.release = report.previous
        self.journal.free_reserve()
        self.journal.record("rollback")
        session.dismiss_worker()
        try:
            self.takeover.undo()
            self.journal.record("undone")
        except (Exception, KeyboardInterrupt) as worse:
            report.comment += f" And what ran before could not be brought back: {session.explain(worse)}"
