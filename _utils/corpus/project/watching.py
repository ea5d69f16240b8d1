"""Editable mode's watcher: what a developer saves is deployed, by those stages alone that the file concerns."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from corpus import processes
from corpus.errors import ConfigurationError, CorpusError, UsageError
from corpus.project import deployment, projects, workflow
from corpus.project.keeping import trees
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.session import Request
from corpus.project.telling.console import Console

#: the word for every stage
ALL = "all"
#: the glob whose stages count for what no other glob matches
REST = "**"
#: what editors, tools, builds and corpus itself write, as in .gitignore
_NEVER = (
    *(".git/", ".hg/", "venv/", ".venv/", "node_modules/", "__pycache__/", ".*_cache/", ".tox/", ".idea/", ".vscode/"),
    *("*.py[cod]", "*.egg-info/", "*.sw[a-p]", "*~", ".#*", "#*#", "4913", "*.tmp", ".DS_Store"),
    *("dist/", ".next/", ".nuxt/", ".parcel-cache/", "/bin/buildout", "/parts/", "/develop-eggs/", ".installed.cfg"),
    ".salt/.closure/",
)
_STAGES = tuple(stage.name for stage in workflow.STAGES if workflow.EDITABLE in stage.modes)
#: stages that every deployment of the watcher runs: without a new tree and new processes there is nothing to see
_ALWAYS = ("initialization", "activate")
_DEBOUNCE = 300  # milliseconds without a further change
_PATIENCE = 1000  # milliseconds after which we look whether somebody asked us to end
_OWN_DOING = 2  # deployments in a row that change the same files, after which we do not follow
_BIG = 5 << 20  # bytes of a file above which its time stamp stands for its content


def watch(minion: Minion, name: str, who: str, first: bool = True) -> dict[str, Any]:
    """Deploy what changes in a developer's tree until somebody interrupts.

    :param first: deploy everything once at the beginning
    :returns: ``{name, result, changes, comment}``
    :raises UsageError: the project is not in editable mode
    :raises ConfigurationError: ``watch`` names a stage that there is not
    """
    layout = Layout.existing(minion.roots, name)
    cfg = projects.assembled(minion, layout).values
    if cfg["operation_mode"] != workflow.EDITABLE:
        raise UsageError(f"{name} is in {cfg['operation_mode']} mode: only a developer's tree (editable) is watched.")
    Table.configured(cfg)
    return _Watch(minion, layout, cfg, who).run(first)


class Table:
    """Which files concern which stages.

    :param rows: stages by glob, as in .gitignore
    """

    def __init__(self, rows: Mapping[str, Iterable[str]]) -> None:
        self._rest = frozenset(rows.get(REST, ()))
        self._rows = [
            (GitIgnoreSpec.from_lines([glob]), frozenset(stages)) for glob, stages in rows.items() if glob != REST
        ]

    @classmethod
    def configured(cls, cfg: Mapping[str, Any]) -> Table:
        """Read it from the key ``watch``.

        :raises ConfigurationError: a stage that there is not, or a glob that is none
        """
        rows: dict[str, list[str]] = {}
        for glob, value in cfg["watch"].items():
            stages = [value] if isinstance(value, str) else list(value or ())
            wrong = [stage for stage in stages if stage not in (*_STAGES, ALL)]
            if wrong:
                raise ConfigurationError(
                    f"watch: {glob!r} names {wrong[0]!r}: use {ALL} or some of {', '.join(_STAGES)}, as a list."
                )
            rows[str(glob)] = stages
        try:
            return cls(rows)
        except ValueError as err:
            raise ConfigurationError(f"watch: {err}.") from err

    def stages(self, path: str) -> frozenset[str]:
        """Return the stages that a file concerns, by its path in the tree; empty: it is served as it is."""
        matching = [stages for spec, stages in self._rows if spec.match_file(path)]
        named = frozenset().union(*matching) if matching else self._rest
        return frozenset(_STAGES) if ALL in named else named


class _Watch:
    """One watch over one project."""

    def __init__(self, minion: Minion, layout: Layout, cfg: Mapping[str, Any], who: str) -> None:
        self.minion, self.layout, self.who = minion, layout, who
        self.user = cfg["user"] if minion.privileged else None
        self.console = Console(None, loud=True)
        self.table = Table.configured(cfg)
        self.never = GitIgnoreSpec.from_lines([*_NEVER, *map(str, cfg["watch_ignore"])])
        #: content of the files as we know it, by path
        self.known = {path: _content(path) for path in self._files()}
        #: when the last deployment ended, seconds since the epoch
        self.ended = 0.0
        #: files that were written while the last deployment went on, and in how many in a row just they were
        self.meanwhile: set[Path] = set()
        self.in_a_row = 0
        #: stages of a deployment that failed: the next one must run them, too
        self.owed: frozenset[str] = frozenset()
        self.count = self.failed = 0

    def run(self, first: bool) -> dict[str, Any]:
        """Watch, and deploy, until we are asked to end."""
        from watchfiles import watch as changes

        began = time.monotonic()
        with _asked_to_end() as ending:
            self.console.headline(f"Watching {self.layout.project}; Ctrl-C ends it.")
            # A watch that stands before the first deployment sees what is saved while that goes on.
            seen = changes(
                self.layout.project,
                self.layout.pillar,
                watch_filter=lambda _, path: self._counts(Path(path)),
                debounce=_DEBOUNCE * 4,
                step=_DEBOUNCE,
                rust_timeout=_PATIENCE,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            early = next(seen, None) or set()
            if first:
                self._deploy(frozenset(_STAGES), "everything")
            else:
                self._changed({Path(path) for _, path in early})
            while not ending():
                found = next(seen, None)
                if found is None:
                    break
                self._changed({Path(path) for _, path in found})
        minutes = (time.monotonic() - began) / 60
        comment = f"Watched for {minutes:.0f} min: {self.count} deployments, {self.failed} of them failed."
        self.console.ending(comment)
        return {"name": self.layout.name, "result": True, "changes": {}, "comment": comment}

    def _files(self) -> Iterator[Path]:
        for root in (self.layout.project, self.layout.pillar):
            for folder, names, files in os.walk(root):
                names[:] = [name for name in names if self._counts(Path(folder, name), folder=True)]
                yield from (path for name in files if self._counts(path := Path(folder, name)))

    def _counts(self, path: Path, folder: bool = False) -> bool:
        """Tell whether a path is watched at all; what git ignores is looked at later, for all changes at once."""
        relative = self._relative(path)
        return relative is not None and not self.never.match_file(f"{relative}/" if folder else relative)

    def _relative(self, path: Path) -> str | None:
        for root in (self.layout.project, self.layout.pillar):
            if path != root and path.is_relative_to(root):
                return str(path.relative_to(root))
        return None

    def _changed(self, paths: set[Path]) -> None:
        """Deploy what changed, unless it only seems so, or deployments keep doing it themselves."""
        now = {path: _content(path) for path in paths}
        fresh = {path for path, content in now.items() if content != self.known.get(path)}
        fresh -= self._ignored(fresh)
        self.known.update(now)
        if not fresh or self._is_our_own(fresh):
            return
        stages = self.owed.union(*(self._stages(path) for path in fresh))
        if not stages:
            self.console.line(f"{self._shown(fresh)}: served as it is")
            return
        self._deploy(stages, self._shown(fresh))

    def _is_our_own(self, fresh: set[Path]) -> bool:
        """Tell whether the deployments write these files themselves: just they changed during several in a row.

        Once may be the developer's own doing, and what a build writes is mostly the same the second time.
        """
        meanwhile = {path for path in fresh if _written(path) <= self.ended}
        same = bool(meanwhile) and meanwhile == fresh == self.meanwhile
        self.in_a_row = self.in_a_row + 1 if same else 0
        self.meanwhile = meanwhile
        if self.in_a_row < _OWN_DOING:
            return False
        self.in_a_row = 0
        self.console.line(f"{self._shown(fresh)}: each deployment changes it; add it to .gitignore or watch_ignore")
        return True

    def _stages(self, path: Path) -> frozenset[str]:
        if path.is_relative_to(self.layout.pillar):
            return frozenset(_STAGES)
        return self.table.stages(str(path.relative_to(self.layout.project)))

    def _deploy(self, stages: frozenset[str], why: str) -> None:
        """Run the stages that are concerned. What fails is told, and owed to the next deployment."""
        wanted = [name for name in _STAGES if name in stages or name in _ALWAYS]
        self.console.headline(f"{why}: {', '.join(name for name in wanted if name != 'initialization')}")
        self.count += 1
        skipped = {f"skip_{name}": True for name in _STAGES if name not in wanted}
        try:
            request = Request(who=self.who, settings=skipped, wait=60, follow_origin=False)
            done = deployment.deploy(self.minion, self.layout.name, request)
            good = done["result"] is not False
        except CorpusError as err:
            self.console.ending(str(err))
            good = False
        self.ended = time.time()
        self.failed += not good
        self.owed = frozenset() if good else frozenset(wanted)

    def _ignored(self, paths: set[Path]) -> set[Path]:
        """Return those of the paths that git ignores: what a build makes belongs there."""
        inside = sorted(path for path in paths if path.is_relative_to(self.layout.project))
        if not inside:
            return set()
        asked = processes.run(
            ["git", "-C", self.layout.project, "check-ignore", "--stdin", "-z"],
            user=self.user,
            env={name: None for name in os.environ if name.startswith("GIT_")},
            stdin="\0".join(map(str, inside)),
            check=False,
        )
        return {Path(path) for path in asked.output.split("\0") if path}

    def _shown(self, paths: set[Path]) -> str:
        """Return paths for a line: the first, and how many more."""
        first, *more = sorted(self._relative(path) or str(path) for path in paths)
        return f"{first} and {len(more)} more" if more else first


def _content(path: Path) -> str | None:
    """Return what stands for the content of a file; None when there is no file (any more)."""
    try:
        status = path.lstat()
        if path.is_symlink():
            return f"-> {os.readlink(path)}"
        if not path.is_file():
            return None
        return trees.sha256(path) if status.st_size < _BIG else f"{status.st_mtime_ns} {status.st_size}"
    except OSError:
        return None


def _written(path: Path) -> float:
    """Return when a file was written, seconds since the epoch; a file that is gone, never."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return float("inf")


@contextmanager
def _asked_to_end() -> Iterator[Any]:
    """Hand out a function that tells whether a signal asked us to end.

    A deployment takes such a signal for itself, to roll back, and ends well; so we listen beside it.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)

    def ending() -> bool:
        try:
            return any(number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) for number in ours.recv(4096))
        except BlockingIOError:
            return False

    try:
        yield ending
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, handler)
        ours.close()
        theirs.close()
