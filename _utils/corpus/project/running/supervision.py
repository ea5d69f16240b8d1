"""Process supervision: what corpus asks of whatever keeps processes running, and what it does with it for a release.

There are two answers: units of systemd where that runs, else a supervisord of our own. A release's processes are one
group, ``<project>.<release>``; two releases run side by side while the new one proves itself.
"""

from __future__ import annotations

import os
import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from corpus.errors import CorpusError
from corpus.project import commands
from corpus.project.layout import Layout, Roots
from corpus.project.running import formation, rotation, view

RUNNING = "RUNNING"
#: states in which nothing runs, and nothing is about to
DOWN = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
_FAILED = ("BACKOFF", *DOWN)
_START_SECONDS = 1
#: lines at the end of a log in which the reason for an end is looked for
_SAID = 40


@dataclass(frozen=True)
class Program:
    """A program for a supervisor to run.

    :param name: unique in its group
    :param argv: argument list
    :param log: file for what it prints; None: it sees to that itself
    :param drain: seconds between the stop signal and the kill
    :param stop_signal: that asks it to finish
    :param start_seconds: it must stay up that long to count as started
    :param writable: all that it may write, absolute; empty: it is no project's, and may write what its user may
    :param memory: bytes that it and its children may take; None: no limit
    :param cpu: percent of one processor that they may take; None: no limit
    :param tasks: processes and threads that they may be; None: no limit
    """

    name: str
    argv: tuple[str, ...]
    log: Path | None = None
    drain: int = 5
    stop_signal: str = "TERM"
    start_seconds: int = _START_SECONDS
    writable: tuple[Path, ...] = ()
    memory: int | None = None
    cpu: float | None = None
    tasks: int | None = None


@dataclass(frozen=True)
class Process:
    """A process as its supervisor sees it.

    :param name: of the program, ``web.1`` say
    :param state: RUNNING, STARTING, BACKOFF (it died and is tried again), STOPPING, STOPPED, EXITED, FATAL
    :param pid: process id; 0 when there is none
    :param since: when it entered that state, seconds since the epoch; 0 when nobody knows
    :param words: what the supervisor says of it
    """

    name: str
    state: str
    pid: int
    since: int
    words: str


class Supervisor(ABC):
    """Keeps groups of programs running, for all projects of a machine.

    :param roots: of the machine
    """

    #: as in the minion's option ``corpus.supervisor``
    kind: ClassVar[str]

    def __init__(self, roots: Roots) -> None:
        self.roots = roots

    @abstractmethod
    def alive(self) -> bool:
        """Tell whether it answers."""

    @abstractmethod
    def start(self) -> bool:
        """Start it unless it runs; return whether it was started now."""

    @abstractmethod
    def stop(self) -> None:
        """Stop all that it runs for these roots; nothing when it does not run."""

    @abstractmethod
    def run(self, group: str, programs: Sequence[Program]) -> None:
        """Start programs, also at boot, beside what runs in the group already."""

    @abstractmethod
    def remove(self, group: str, names: Sequence[str]) -> None:
        """Stop programs of a group, all at once, and know them no more. Those that are not known count as stopped.

        What names a program goes last: who is killed meanwhile leaves nothing that nobody would stop.
        """

    @abstractmethod
    def known(self, group: str) -> set[str]:
        """Return the names of the programs of a group, whether they run or not."""

    @abstractmethod
    def processes(self, group: str) -> list[Process]:
        """Return the processes of a group; none when it is not known."""

    @abstractmethod
    def groups(self) -> set[str]:
        """Return the names of the groups that are known, whether they run or not."""

    @abstractmethod
    def signal(self, group: str, name: str) -> None:
        """Send a signal (``HUP``) to the main process of every program of a group."""

    def run_group(self, group: str, programs: Sequence[Program]) -> None:
        """Let a group be these programs; what it was before is stopped."""
        self.forget(group)
        self.run(group, programs)

    def forget(self, group: str) -> None:
        """Stop a group and know it no more; nothing when it is not known."""
        self.remove(group, sorted(self.known(group)))


def of(roots: Roots) -> Supervisor:
    """Return the supervisor of a machine: as configured, else systemd where it runs and obeys us."""
    from corpus.project.running import supervisord, systemd

    if roots.supervisor == "systemd" or (roots.supervisor == "auto" and systemd.possible()):
        return systemd.Systemd(roots)
    return supervisord.Supervisord(roots)


def poll(seconds: float, interval: float = 0.05) -> Iterator[None]:
    """Yield at once and then every ``interval`` seconds, until ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() >= deadline:
            return
        time.sleep(interval)


# the processes of a release


def group_name(layout: Layout, release: str) -> str:
    """Return the name of the group of a release. Other groups, such as the front's, have no dot in theirs."""
    return f"{layout.name}.{release}"


def start(supervisor: Supervisor, layout: Layout, release: str, instances: Sequence[str] | None = None) -> list[str]:
    """Start the processes of a release and see them stay up for a second.

    :param instances: those alone, beside what runs; None: all, and what ran of the release is stopped before
    :returns: their types; empty when the release has none
    :raises CorpusError: one of them does not stay up; the message has its last line of output
    """
    specification = formation.specified(layout, release)
    chosen = sorted(specification["processes"]) if instances is None else list(instances)
    if not chosen:
        return []
    group = group_name(layout, release)
    programs = [
        Program(
            name=instance,
            argv=(sys.executable, "-S", view.__file__, str(layout.processes(release)), instance),
            drain=int(specification["drain"]),
            writable=tuple(map(Path, specification["writable"])),
            **specification["processes"][instance]["limits"],
        )
        for instance in chosen
    ]
    kinds = {instance: str(specification["processes"][instance]["type"]) for instance in chosen}
    keep_logs_short(supervisor)
    began = {kind: log_size(layout, kind) for kind in kinds.values()}
    (supervisor.run_group if instances is None else supervisor.run)(group, programs)
    for _ in poll(_START_SECONDS * 8 + 5):
        states = {process.name: process for process in supervisor.processes(group) if process.name in kinds}
        for instance, process in states.items():
            if process.state in _FAILED:
                words = last_words(layout, kinds[instance], began[kinds[instance]]) or process.words
                raise CorpusError(f"The process {kinds[instance]!r} does not stay up: {words}")
        if set(states) == set(kinds) and all(process.state == RUNNING for process in states.values()):
            return sorted(set(kinds.values()))
    raise CorpusError(f"The processes of {layout.name} did not start in time.")


def running(supervisor: Supervisor, layout: Layout, release: str) -> bool:
    """Tell whether all processes of a release run (a release without any counts)."""
    instances = set(formation.specified(layout, release)["processes"])
    up = {process.name for process in supervisor.processes(group_name(layout, release)) if process.state == RUNNING}
    return instances <= up


def stop(supervisor: Supervisor, layout: Layout, release: str) -> None:
    """Let the processes of a release finish their requests, and stop them."""
    supervisor.forget(group_name(layout, release))


def stop_others(supervisor: Supervisor, layout: Layout, release: str | None) -> None:
    """Stop every process of the project that is not of ``release``."""
    for group in supervisor.groups():
        if group.startswith(f"{layout.name}.") and group != f"{layout.name}.{release}":
            supervisor.forget(group)


_LOGS = "logs"


def keep_logs_short(supervisor: Supervisor) -> None:
    """Have what the processes of all projects print rotated from now on."""
    if any(process.state in (RUNNING, "STARTING") for process in supervisor.processes(_LOGS)):
        return
    argv = (sys.executable, "-S", rotation.__file__, str(supervisor.roots.projects))
    with suppress(CorpusError):  # another project may be about to do the same; and no deployment fails for it
        supervisor.run_group(_LOGS, [Program("rotation", argv)])


def log_size(layout: Layout, kind: str) -> int:
    """Return how many bytes processes of a type have said."""
    log = layout.log(kind)
    return log.stat().st_size if log.exists() else 0


#: what servers say of themselves (gunicorn, uvicorn, php-fpm), while they are well
_CHATTER = re.compile(r"\[[^]]*\] \[\d+\] \[(?:INFO|DEBUG)\] .*|(?:INFO|DEBUG): +.*|\[[^]]*\] NOTICE: .*")


def last_words(layout: Layout, kind: str, offset: int = 0) -> str:
    """Return what a process type said last since ``offset`` in its log: an error by its name, else the last line.

    A server goes on talking after the application that it loads has failed: what it says of itself does not count.
    """
    try:
        with layout.log(kind).open("rb") as stream:
            stream.seek(max(offset, stream.seek(0, os.SEEK_END) - 65536))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    lines = [line for line in text.splitlines() if line.strip() and not _CHATTER.fullmatch(line.strip())][-_SAID:]
    return commands.telling("\n".join(lines)) if lines else ""
