"""A short deployment: the tree that runs, as it was built, with another environment. A release like any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from corpus import dotenv, files, secrets
from corpus.errors import UsageError
from corpus.project import configuration, projects, recovery, stages, version, workflow
from corpus.project.deployment import Deployment
from corpus.project.git import repositories
from corpus.project.keeping import archives, lock, trees
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.plan import Plan
from corpus.project.running import view
from corpus.project.session import Request, Session, orderly_end
from corpus.project.telling.report import StageReport
from corpus.project.version import Version


def set_variables(
    minion: Minion, name: str, variables: Mapping[str, str], request: Request, deploy: bool = True, test: bool = False
) -> dict[str, Any]:
    """Set environment variables of a project's processes, and let the processes have them.

    :param variables: names and values; values are taken as they are
    :param deploy: run a short deployment; without, the next deployment brings them
    :param test: tell what a short deployment would change, and change nothing
    :returns: the report of the deployment, or ``{name, result, changes, comment}``; values are never told
    :raises UsageError: a name is none, or is corpus' own; there is nothing to set
    :raises ConfigurationError: a value cannot be in an environment
    """
    if not variables:
        raise UsageError("There is nothing to set: name variables as NAME=value, or a file of them as from_file=.")
    for variable in variables:
        dotenv.check_name(variable)
    layout = Layout.existing(minion.roots, name)
    wanted = {variable: configuration.quoted(value) for variable, value in variables.items()}
    return _Change(minion, layout, wanted).made(request, deploy, test)


def unset_variables(
    minion: Minion, name: str, variables: Iterable[str], request: Request, deploy: bool = True, test: bool = False
) -> dict[str, Any]:
    """Take back what :func:`set_variables` set.

    :param variables: names
    :returns: as :func:`set_variables`
    :raises UsageError: one of them was not set there
    """
    layout = Layout.existing(minion.roots, name)
    names = [str(variable) for variable in variables]
    saved = configuration.stored_settings(layout).get("env", {})
    if not names:
        raise UsageError("There is nothing to unset: name the variables.")
    for variable in names:
        if variable not in saved:
            raise UsageError(
                f"{variable[:80]!r} was not set by env_set: "
                f"what the pillar or .salt says is changed there. Set are: {', '.join(sorted(saved)) or 'none'}."
            )
    return _Change(minion, layout, dict.fromkeys(names)).made(request, deploy, test)


class _Change:
    """A change of the saved environment.

    :param wanted: new values, as they are saved; None unsets
    """

    def __init__(self, minion: Minion, layout: Layout, wanted: Mapping[str, str | None]) -> None:
        self.minion, self.layout, self.wanted = minion, layout, wanted

    def made(self, request: Request, deploy: bool, test: bool) -> dict[str, Any]:
        """Make it, and return what is to be told."""
        layout, who = self.layout, request.who
        if test:
            self._look()
            with orderly_end(), Session(self.minion, layout, "plan", who, test=True) as session:
                return ReconfigurationPlan(session, request, self.after, self.words).run()
        with lock.held(layout, "change the environment", who, request.wait):
            recovery.repair(self.minion, layout, who)
            self._look()
            if self.after == self.before:
                return self._told("Nothing to change.")
            if not deploy:
                return self._saved("the next deployment uses it (deploy=False).")
            if layout.running() is None:
                return self._saved("nothing is deployed yet, so the first deployment uses it.")
            lock.check_open(layout)
            with orderly_end(), Session(self.minion, layout, workflow.SHORT, who) as session:
                told = Reconfiguration(session, request, self.after, self.words).run()
        if told["result"]:
            told["changes"].update(self.changes)
        return told

    def _look(self) -> None:
        """Compare what is saved with what is wanted; changes nothing.

        :raises ConfigurationError: the configuration would not hold together
        """
        self.before = configuration.stored_settings(self.layout)
        env = {**self.before.get("env", {}), **self.wanted}
        env = {name: value for name, value in env.items() if value is not None}
        self.after = {**self.before, "env": env}
        if not env and "env" not in self.before:
            self.after.pop("env")
        dotenv.check({name: configuration.unquoted(str(value)) for name, value in env.items()})
        projects.assembled(self.minion, self.layout, self.after)

    @property
    def words(self) -> str:
        """What is done, without any value."""
        given = [name for name, value in self.wanted.items() if value is not None]
        gone = [name for name, value in self.wanted.items() if value is None]
        parts = [f"set {', '.join(sorted(given))}" if given else "", f"unset {', '.join(sorted(gone))}" if gone else ""]
        return " and ".join(part for part in parts if part)

    @property
    def changes(self) -> dict[str, Any]:
        """``{"env": {name: {"old", "new"}}}`` of what changed, masked."""
        before, after = self.before.get("env", {}), self.after.get("env", {})
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        return {
            "env": {
                name: {"old": secrets.masked(before.get(name)), "new": secrets.masked(after.get(name))}
                for name in sorted(changed)
            }
        }

    def _saved(self, words: str) -> dict[str, Any]:
        configuration.store_settings(self.layout, self.after)
        return self._told(f"{self.words[0].upper()}{self.words[1:]}: saved; {words}", self.changes)

    def _told(self, comment: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"name": self.layout.name, "result": True, "changes": changes or {}, "comment": comment}


class RunningVersion(Version):
    """The tree that runs, copied: the same content with all that was built, for processes with another environment."""

    def prepare(self) -> None:
        """Copy the tree beside the running one, and assemble the configuration.

        :raises CorpusError: there is too little room
        """
        session, layout = self.session, self.layout
        manifest = files.read_json(layout.manifest(str(layout.running())), {})
        session.report.revision = manifest.get("revision")
        session.configure(layout.project, layout.pillar, self.request.settings)
        version.check(session.cfg)
        self._check_space()
        self.folder.mkdir(mode=0o711)
        trees.duplicate(layout.project, self.tree)
        session.configure(self.tree, layout.pillar, self.request.settings)

    def _check_space(self) -> None:
        if not trees.can_reflink(self.layout.project, self.layout.deployed):
            archives.ensure_room(self.layout, self.session.cfg, trees.size(self.layout.project), "a second tree")


class Reconfiguration(Deployment):
    """A short deployment.

    :param settings: all that is to be saved
    :param words: what changes, for a person; no values
    """

    kind = workflow.SHORT
    stages = workflow.SHORT_STAGES

    def __init__(self, session: Session, request: Request, settings: Mapping[str, Any], words: str) -> None:
        super().__init__(session, request)
        self.version = RunningVersion(session, request, self.layout.release(session.id))
        self.settings, self.words = settings, words

    def _prepare(self) -> None:
        self.takeover.change_settings(self.settings)
        super()._prepare()

    def _prepare_in_place(self) -> None:
        session, layout = self.session, self.layout
        session.configure(layout.project, layout.pillar, self.request.settings)
        session.report.revision = repositories.revision(layout.project, "HEAD", session.user)

    def _announce(self) -> None:
        super()._announce()
        self.console.line(f"{self.words}; the tree and what was built stay as they are")

    def _start_worker(self) -> None:
        super()._start_worker()
        with self.session.stage("copy") as report:
            self.journal.record("stage", stage="copy")
            report.comment = self._enter(report)

    def _stops(self) -> bool:
        return False  # nothing is built

    def _closes(self) -> bool:
        return False  # nothing is upgraded

    def _done(self) -> str:
        return f"{self.words[0].upper()}{self.words[1:]}, deployed as {self.session.id}"

    def _fail(self, err: BaseException) -> None:
        super()._fail(err)
        if not self.takeover.problems:
            self.report.comment += f" Nothing has happened: {self.words} was taken back."

    def _bring_back(self) -> None:
        stages.take_back(self.session, self.takeover)


class ReconfigurationPlan(Plan):
    """What a short deployment would change; its sls are asked with the tree that runs."""

    stages = workflow.SHORT_STAGES

    def __init__(self, session: Session, request: Request, settings: Mapping[str, Any], words: str) -> None:
        super().__init__(session, request)
        self.words = words
        session.saved = dict(settings)

    def _prepare(self) -> None:
        session, layout = self.session, self.layout
        session.configure(layout.project, layout.pillar, self.request.settings)
        session.report.revision = repositories.revision(layout.project, "HEAD", session.user)
        self.in_place, self.version.views = self._editable(), view.possible()
        self._announce()

    def _announce(self) -> None:
        super()._announce()
        self.console.line(f"It would {self.words}.")

    def _see(self) -> None:
        self.session.wire(self.layout.salt)

    def _plan_tree(self) -> Path:
        return self.layout.project

    def _foretell(self, stage: str, report: StageReport) -> str:
        return super()._foretell(stage, report).replace("would start", "would start anew")
