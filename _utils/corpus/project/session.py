"""What every run of stages shares: the configuration, the worker, the console, the report."""

from __future__ import annotations

import copy
import os
import pwd
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from corpus import files, identifiers, secrets
from corpus.errors import ConfigurationError, CorpusError, StageFailed
from corpus.project import closure, configuration, environment, installers, workflow
from corpus.project.changes.packages import System
from corpus.project.keeping import history, lock, registry, trees
from corpus.project.keys import KEYS
from corpus.project.layout import LINKS, Layout
from corpus.project.minion import Minion, merged, project_pillar
from corpus.project.running import view
from corpus.project.sls import SlsRunner
from corpus.project.telling.console import Console
from corpus.project.telling.events import Events
from corpus.project.telling.report import Report, StageReport, failure, in_words
from corpus.project.worker import Worker, birth

#: keys of the configuration whose values are no secrets
PUBLIC = frozenset(KEYS) - {"data", "env", "notify", "defaults", "env_defaults", "os_defaults"}


@dataclass(frozen=True)
class Request:
    """What somebody asked for.

    :param who: asked
    :param revision: of the application to deploy; None: what the branch names
    :param pillar_revision: of the pillar; None: what its branch names
    :param project_env: variables by which git reaches objects of a push to the application that is under way
    :param pillar_env: the same for a push to the pillar
    :param replaces: what the branches of a push that is under way named when it began: ``{repository: revision}``,
        zeros for a new branch
    :param settings: configuration for this run alone
    :param wait: seconds to wait for another deployment
    :param follow_origin: whether a developer's tree is brought up to its origin first
    """

    who: str
    revision: str | None = None
    pillar_revision: str | None = None
    project_env: Mapping[str, str] = field(default_factory=dict)
    pillar_env: Mapping[str, str] = field(default_factory=dict)
    replaces: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    wait: float = 0
    follow_origin: bool = True


class Session:
    """A run of stages, from its first word to its record in the history.

    :param minion: where it runs
    :param layout: of the project
    :param kind: deploy, plan, rollback, repair, or a stage's name
    :param who: asked for it
    :param test: change nothing, tell what would change
    :param deployment: id of a deployment that died, whose log is continued; None: a new one
    """

    def __init__(
        self, minion: Minion, layout: Layout, kind: str, who: str, test: bool = False, deployment: str | None = None
    ) -> None:
        self.minion, self.layout, self.test = minion, layout, test
        deployment = deployment or identifiers.new_release_id()
        os.environ[view.SESSION] = deployment
        self.report = Report(layout.name, deployment, kind, who, lock.now(), previous=layout.running())
        log = None if test else history.log_path(layout, deployment)
        self.console = Console(log, minion.talks_to_a_terminal)
        self.events = Events(minion, layout.name, deployment, self.console.redactor, silent=test)
        #: packages of the machine, to tell afterwards what became of them
        self.system = System()
        self.cfg: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self.pillar: dict[str, Any] = {}
        self._worker: Worker | None = None
        self._registry: tuple[int, int] | None = None
        self._began = time.monotonic()
        self._scratch = layout.sls / deployment
        #: settings that count instead of those that are saved: what would be saved, in a plan
        self.saved: dict[str, Any] | None = None
        #: variables by which git reaches objects of a push that is under way
        self.borrowed: dict[str, str] = {}

    @property
    def id(self) -> str:
        return self.report.deployment

    @property
    def log(self) -> Path:
        return history.log_path(self.layout, self.id)

    @property
    def user(self) -> str | None:
        return self.cfg.get("user") if self.minion.privileged else None

    @property
    def seconds(self) -> float:
        """Since the session began."""
        return time.monotonic() - self._began

    # configuration

    def configure(self, tree: Path, pillar: Path, settings: Mapping[str, Any]) -> None:
        """Assemble ``cfg`` for a tree and a pillar, check it, and make the installer reachable.

        :param tree: where the tree is now
        :param pillar: where the pillar's clone is now
        :param settings: for this run alone
        :raises ConfigurationError: something in it cannot be
        """
        own = project_pillar(self.minion, self.layout, pillar, self._scratch / "pillar")
        self.pillar = merged(self.minion.plain_pillar(), own)
        self.console.redactor.learn(pillar_secrets(self.pillar, self.layout.name, own))
        stored = configuration.stored_settings(self.layout) if self.saved is None else self.saved
        self.console.redactor.learn(setting_secrets(stored) | setting_secrets(settings))
        self.learn_registry()
        made = configuration.assemble(
            self.layout,
            grains=self.minion.grains,
            pillar=self.pillar,
            settings=stored,
            kwargs=settings,
            sample=sample(self.minion, self.layout, tree / ".salt"),
            salt_root=tree / ".salt",
            privileged=self.minion.privileged,
        )
        self.console.redactor.forget(_addresses(made.values))
        self.installer, self.pack = made.installer, made.pack
        self.found, self.looked, self.declared = made.found, made.looked, made.declared
        kept: dict[str, Any] = {
            key: self.cfg[key]
            for key in ("deployment", "current_archive_dir", "current_release_dir")
            if key in self.cfg
        }
        self.cfg.update(made.values)
        self.cfg.update(kept)

    def wire(self, seen_at: Path, salt_root: Path | None = None) -> None:
        """Make the sls of a tree and of its installer reachable for the worker.

        :param seen_at: ``.salt`` as the worker sees it
        :param salt_root: ``.salt`` where it is now; an installer inside of it is looked for at ``seen_at``
        """
        installer, pack = (
            seen_at / folder.relative_to(salt_root)
            if salt_root is not None and folder.is_relative_to(salt_root)
            else folder
            for folder in (self.installer, self.pack)
        )
        installers.wire(self._scratch / "sls", installer, pack, self.layout.name, seen_at)

    def wire_standing(self, release: str | None) -> None:
        """Make the sls of the tree that stands at ``project/`` reachable, with the installer that it was deployed with.

        The tree that the configuration was assembled from, and an installer in it, may stand elsewhere by now.

        :param release: that the tree is of; None: nothing was deployed yet
        :raises ConfigurationError: its installer is gone
        """
        salt_root = self.layout.salt
        brought = closure.within(salt_root) if self.cfg["operation_mode"] == workflow.FINAL else None
        if brought:
            installer, pack = brought.place, brought.folder
        else:
            about = files.read_json(self.layout.manifest(release), {}) if release else {"installer": installers.PLAIN}
            name = about.get("installer") or self.cfg["installer"]
            pack = installers.official_root()
            installer = installers.find(name, self.cfg["api_version"], salt_root)
        installers.wire(self._scratch / "sls", installer, pack, self.layout.name, salt_root)

    # stages

    def begins(self, stages: Sequence[str]) -> None:
        """Tell whoever listens what begins.

        :param stages: the names of those that will run, in their order
        """
        report = self.report
        self.events.fire(
            "begin",
            kind=report.kind,
            who=report.who,
            when=report.when,
            revision=report.revision,
            mode=self.cfg.get("operation_mode"),
            stages=list(stages),
        )

    @property
    def worker(self) -> Worker:
        """The child process that runs sls; started when it is first needed."""
        return self._worker or self.start_worker()

    def start_worker(self) -> Worker:
        """Start the child process that runs sls, with ``cfg`` as it is now."""
        cfg, root = copy.deepcopy(self.cfg), self._scratch / "sls"
        self._told = copy.deepcopy(self.cfg)
        self._worker = Worker(lambda: SlsRunner(self.minion, cfg, self.pillar, root, self.test), self._line, self._note)
        return self._worker

    def _line(self, text: str) -> None:
        self.learn_registry()
        self.console.line(text)

    def _note(self, text: str) -> None:
        self.learn_registry()
        self.console.note(text)

    def learn_registry(self) -> None:
        """Know the registry's secrets before the next word: a state may have just made some."""
        stamp = registry.stamp(self.layout)
        if stamp != self._registry:
            self.console.redactor.learn(registry.secret_texts(self.layout))
            self._registry = stamp

    @property
    def worker_facts(self) -> dict[str, Any]:
        """What another process needs to find the worker's leftovers."""
        return {"pid": self.worker.pid, "born": birth(self.worker.pid)}

    def dismiss_worker(self) -> None:
        """Stop the worker; the next run starts another, outside of every view."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def sls(self, name: str, into: StageReport) -> None:
        """Run one of the project's sls, and take over what it did to ``cfg``.

        :raises CorpusError: it does not render, or a state failed
        """
        worker = self.worker
        changes = {key: value for key, value in self.cfg.items() if self._told.get(key) != value}
        states, cfg = worker.run(f"{LINKS}.{self.layout.name}.{name}", changes, float(self.cfg["timeout"]))
        self.cfg.clear()
        self.cfg.update(cfg)
        self._told = copy.deepcopy(cfg)
        self.learn_registry()
        into.states += states
        for state in states:
            self.console.note(f"{state.function} {state.name}: {state.result} {' '.join(state.comment.split())}")
            if state.changes:
                self.console.note(f"  changes: {state.changes}")
        words = failure(states)
        if words and not self.test:
            raise CorpusError(words)

    @contextmanager
    def stage(self, name: str) -> Iterator[StageReport]:
        """Time and report what the block does as a stage.

        :raises StageFailed: the block raised a :class:`CorpusError`
        """
        began = time.monotonic()
        report = StageReport(name, True, began=began - self._began)
        self.report.stages.append(report)
        self.console.recent.clear()
        self.events.fire("stage", stage=name, state="running")
        try:
            yield report
        except CorpusError as err:
            report.result, report.comment = False, str(err)
            raise StageFailed(name, str(err)) from err
        except OSError as err:
            report.result, report.comment = (
                False,
                f"{err.strerror}: {err.filename}" if err.filename else str(err),
            )
            raise StageFailed(name, report.comment) from err
        except KeyboardInterrupt as err:
            report.result, report.comment = False, _interrupted(err)
            raise
        except Exception as err:
            report.result, report.comment = False, f"Unexpected {type(err).__name__}: {err}"
            raise
        finally:
            report.seconds = time.monotonic() - began
            if report.result is False:
                report.excerpt = list(self.console.recent)
            if report.result:
                done = in_words(report.states, self.test) if report.states or not report.comment else ""
                report.comment = "; ".join(part for part in (report.comment, done) if part)
            self.console.stage(name, report.result, report.seconds, report.comment)
            state = "failed" if report.result is False else "done"
            self.events.fire("stage", stage=name, state=state, result=report.result, seconds=round(report.seconds, 3))

    def skip(self, stage: workflow.Stage, why: str) -> None:
        """Report that a stage is not run."""
        self.report.skip(stage, why)
        self.console.stage(stage.name, None, 0, f"skipped: {why}")

    def run(
        self,
        stage: workflow.Stage,
        before: Callable[[StageReport], str] | None = None,
        after: Callable[[StageReport], str] | None = None,
    ) -> None:
        """Run a stage: what it does by itself, and its sls; a ``<stage>-pre.sls``, when there is one, comes first.

        :param before: what corpus does before the sls; returns words for the report
        :param after: and after
        :raises StageFailed: it failed
        """
        with self.stage(stage.name) as report:
            words = []
            if (self._scratch / "sls" / LINKS / self.layout.name / f"{stage.sls}-pre.sls").exists():
                self.sls(f"{stage.sls}-pre", report)
            if before:
                words.append(before(report))
            self.sls(stage.sls, report)
            if after:
                words.append(after(report))
            report.comment = "; ".join(word for word in words if word)

    # the end

    def close(self) -> None:
        """Leave nothing behind but the log."""
        self.dismiss_worker()
        os.environ.pop(view.SESSION, None)
        self.events.close()
        self.console.close()
        trees.remove(self._scratch)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def explain(self, err: BaseException) -> str:
        """Return an error in words for a person; what nobody foresaw goes to the log with its traceback."""
        if isinstance(err, StageFailed):
            return f"Stage {err.stage} failed: {err}"
        if isinstance(err, CorpusError):
            return str(err)
        if isinstance(err, KeyboardInterrupt):
            return _interrupted(err)
        for row in "".join(traceback.format_exception(err)).splitlines():
            self.console.note(row)
        return f"Unexpected {type(err).__name__}: {err} (the deployment's log has the details)."


def _addresses(cfg: Mapping[str, Any]) -> set[str]:
    """Return where a project is found: everybody knows it, so it is no secret when the environment repeats it."""
    return {cfg["domain"] or "", cfg["main_ip"] or "", *map(str, cfg["domains"])}


def sample(minion: Minion, layout: Layout, salt_root: Path) -> dict[str, Any]:
    """Return the values of a tree's ``PILLAR.sample``, written flat or under ``makina-projects.<name>``.

    :raises ConfigurationError: it does not render, or is no mapping
    """
    values = minion.rendered(salt_root / "PILLAR.sample", cfg={"name": layout.name})
    inner = values.get(configuration.PREFIX + layout.name)
    if inner is None:
        return values
    if not isinstance(inner, Mapping):
        raise ConfigurationError("PILLAR.sample must hold a mapping of configuration keys.")
    return dict(inner)


def setting_secrets(settings: Mapping[str, Any]) -> set[str]:
    """Return the texts in settings that nobody must see."""
    return secrets.found_in(settings, PUBLIC) | environment.secret_texts(settings.get("env"))


def pillar_secrets(pillar: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> set[str]:
    """Return the texts in a minion's pillar that nobody must see: its own, and those of the project's pillar."""
    found: set[str] = set()
    for tree in (pillar, own):
        for key, value in tree.items():
            if str(key).startswith(configuration.PREFIX.rstrip(".")):
                nested = isinstance(value, Mapping) and key == configuration.PREFIX.rstrip(".")
                for settings in value.values() if nested else [value]:
                    found |= secrets.found_in(settings, PUBLIC)
            else:
                found |= secrets.found_in({key: value})
    return found


def who(told: str | None = None) -> str:
    """Return who is asking: the person behind sudo or ssh, and from where.

    :param told: whom a controller calls for
    """
    if told:
        return "".join(sign for sign in str(told) if sign.isprintable())[:120]
    name = os.environ.get("CORPUS_WHO") or os.environ.get("SUDO_USER") or os.environ.get("LOGNAME")
    if not name:
        try:
            name = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            name = str(os.getuid())
    origin = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    words = f"{name} from {origin}" if origin else name
    return "".join(sign for sign in words if sign.isprintable())[:120]


def _interrupted(err: KeyboardInterrupt) -> str:
    return str(err) or "Interrupted."


class Terminated(KeyboardInterrupt):
    """We were asked to stop. Not an error that a loop of questions (does it answer now?) may take for its own."""


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def orderly_end() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into an exception while the block runs, so that it can roll back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    undisturbed()  # who asks twice would only leave half a rollback
    raise Terminated(f"Stopped by {signal.Signals(number).name}.")


def undisturbed() -> None:
    """From here to the end of :func:`orderly_end` ignore what would stop us: we are ending, one way or the other."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is _stop:
                signal.signal(number, _ignore)


def _ignore(_: int, __: FrameType | None) -> None:
    """A function, not SIG_IGN, which programs that we start would inherit."""
