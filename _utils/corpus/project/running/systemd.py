"""Processes as units of systemd: ``corpus-<project>-<type>@<release>.<number>.service``, each in a sandbox.

systemd starts them at boot whether corpus runs or not. A ``-`` in a type is spelled ``_`` in the name of its unit, so
that the last ``-`` before the ``@`` ends the project's name. What else corpus must know of a unit stands in its section
``[X-Corpus]``, which systemd skips.
"""

from __future__ import annotations

import configparser
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from corpus import files, processes
from corpus.errors import CorpusError
from corpus.project.layout import Roots
from corpus.project.running.supervision import RUNNING, Process, Program, Supervisor
from corpus.project.running.supervisord import Supervisord

_UNITS = Path("/etc/systemd/system")
_AT_BOOT = "multi-user.target.wants"
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))

_UNIT = """\
# Written by corpus for the projects under {projects}.
[Unit]
Description={group} {program} (corpus)
After=network.target
StartLimitIntervalSec=300
StartLimitBurst=60

[Service]
Type=exec
ExecStart={command}
Restart=always
RestartSec=2
KillMode=mixed
KillSignal=SIG{stop_signal}
TimeoutStopSec={drain}
{log}{limits}{sandbox}
[Install]
WantedBy=multi-user.target

[X-Corpus]
Projects={projects}
Group={group}
Program={program}
StartSeconds={start_seconds}
"""

#: for everything, the web front included
_HARDENED = """\
NoNewPrivileges=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""

#: for what belongs to a project. The capabilities are what a view and becoming the project's user take; ``view.py``
#: gives them up before the program starts.
_CONFINED = """\
ProtectSystem=strict
PrivateDevices=yes
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_DAC_READ_SEARCH
"""

_STATES = {
    "active": RUNNING,
    "reloading": RUNNING,
    "activating": "STARTING",
    "deactivating": "STOPPING",
    "failed": "FATAL",
    "inactive": "STOPPED",
}
_SHOWN = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "MainPID",
    "Result",
    "NRestarts",
    "ExecMainStatus",
    "StateChangeTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
    "MemoryMax",
)


def possible() -> bool:
    """Tell whether systemd runs here, and obeys us (sd_booted(3))."""
    return os.geteuid() == 0 and Path("/run/systemd/system").is_dir()


@dataclass(frozen=True)
class Unit:
    """A unit of ours.

    :param file: that it is read from
    :param group: of the program
    :param program: its name in its group
    :param start_seconds: it must stay up that long to count as started
    """

    file: Path
    group: str
    program: str
    start_seconds: float

    @property
    def name(self) -> str:
        return self.file.name


class Systemd(Supervisor):
    """The systemd of this machine."""

    kind = "systemd"

    def alive(self) -> bool:
        """Tell whether it runs, and obeys us."""
        return possible()

    def start(self) -> bool:
        """Check that it runs; a supervisord that ran the projects before it ends. Never starts anything itself.

        :raises CorpusError: it does not run, or not for us
        """
        if not possible():
            raise CorpusError(
                "corpus.supervisor is systemd in Salt's configuration, but systemd does not run here, or we are not root."
            )
        before = Supervisord(self.roots)
        if before.settings.exists():
            before.retire()
        return False

    def stop(self) -> None:
        """Stop all units of these roots; they are started at the next boot."""
        units = [unit.name for unit in self._units()]
        if units:
            _systemctl("stop", *units)

    def run(self, group: str, programs: Sequence[Program]) -> None:
        """Start programs, now and at boot, beside what runs in the group already.

        :raises CorpusError: a unit of that name belongs to another projects root
        """
        self.start()
        names = []
        (_UNITS / _AT_BOOT).mkdir(exist_ok=True)
        for program in programs:
            path = _UNITS / unit_name(group, program.name)
            self._check_ours(path)
            files.write(path, text(self.roots, group, program))
            files.link(_UNITS / _AT_BOOT / path.name, path)
            names.append(path.name)
        _systemctl("daemon-reload")
        _systemctl("start", *names, check=False)  # what does not start is seen in its state, with the reason

    def _check_ours(self, path: Path) -> None:
        section = _ours(path)
        if section and section["Projects"] != str(self.roots.projects):
            raise CorpusError(
                f"{path} belongs to the projects under {section['Projects']}: under systemd a machine has one root of projects."
            )

    def remove(self, group: str, names: Sequence[str]) -> None:
        """Stop programs of a group, all at once, and know them no more."""
        units = [unit for unit in self._units(group) if unit.program in names]
        if not units:
            return
        _systemctl("stop", *(unit.name for unit in units))
        for unit in units:
            (_UNITS / _AT_BOOT / unit.name).unlink(missing_ok=True)
            unit.file.unlink(missing_ok=True)
        _systemctl("daemon-reload")
        _systemctl("reset-failed", *(unit.name for unit in units), check=False)  # most are not failed

    def known(self, group: str) -> set[str]:
        """Return the names of the programs of a group that have a unit."""
        return {unit.program for unit in self._units(group)}

    def groups(self) -> set[str]:
        """Return the names of the groups that have units."""
        return {unit.group for unit in self._units()}

    def processes(self, group: str) -> list[Process]:
        """Return the processes of a group; none when it is not known."""
        units = {unit.name: unit for unit in self._units(group)}
        if not units:
            return []
        shown = processes.run(["systemctl", "show", f"--property={','.join(_SHOWN)}", "--", *sorted(units)])
        found = []
        for block in shown.output.strip().split("\n\n"):
            facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if facts.get("Id") in units:
                found.append(_process(units[facts["Id"]], facts))
        return found

    def signal(self, group: str, name: str) -> None:
        """Send a signal (``HUP``) to the main process of every program of a group."""
        for unit in self._units(group):
            _systemctl("kill", "--kill-who=main", f"--signal={name}", unit.name)

    def _units(self, group: str | None = None) -> Iterator[Unit]:
        for path in sorted(_UNITS.glob("corpus-*.service")):
            section = _ours(path)
            if section is None or section["Projects"] != str(self.roots.projects):
                continue
            if group in (None, section["Group"]):
                yield Unit(path, section["Group"], section["Program"], float(section["StartSeconds"]))


def unit_name(group: str, program: str) -> str:
    """Return the name of a program's unit: of a project's, or of the machine's own (the front)."""
    project, dot, release = group.partition(".")
    if not dot:
        return f"corpus-{group}.service"
    kind, _, number = program.partition(".")
    return f"corpus-{project}-{kind.replace('-', '_')}@{release}.{number}.service"


def text(roots: Roots, group: str, program: Program) -> str:
    """Return the unit of a program. Nothing secret is in it: everybody may read units."""
    log = f"StandardOutput=append:{program.log}\nStandardError=inherit\n".replace("%", "%%") if program.log else ""
    return _UNIT.format(
        projects=roots.projects,
        group=group,
        program=program.name,
        command=" ".join(_quoted(word, command=True) for word in program.argv),
        stop_signal=program.stop_signal,
        drain=max(1, program.drain),
        log=log,
        limits="".join(f"{line}\n" for line in _limits(program)),
        sandbox=_sandbox(roots, program),
        start_seconds=program.start_seconds,
    )


def _limits(program: Program) -> Iterator[str]:
    if program.memory:
        yield f"MemoryMax={program.memory}"
        yield "MemorySwapMax=0"
    if program.cpu:
        yield f"CPUQuota={program.cpu:g}%"
    if program.tasks:
        yield f"TasksMax={program.tasks}"


def _sandbox(roots: Roots, program: Program) -> str:
    lines = _HARDENED
    places = [
        roots.projects.resolve(),
        *(Path(word) for word in program.argv if word.startswith("/")),
        *program.writable,
    ]
    places += [path.resolve() for path in places]
    if not any(path.is_relative_to(home) for path in places for home in _HOMES):
        lines += "ProtectHome=yes\n"
    if not program.writable:
        return lines + "ProtectSystem=full\n"
    return lines + _CONFINED + f"ReadWritePaths={' '.join(_quoted(str(path)) for path in program.writable)}\n"


def _quoted(word: str, command: bool = False) -> str:
    """A word for a unit, where ``%`` introduces a specifier and, in a command, ``$`` a variable (systemd.service(5))."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word.replace("$", "$$") if command else word}"'


def _ours(path: Path) -> configparser.SectionProxy | None:
    """Return what a unit says of itself to us; None when it is not there or not ours."""
    reader = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    reader.optionxform = str  # type: ignore[assignment, method-assign]
    with suppress(configparser.Error, UnicodeDecodeError):
        reader.read(path, encoding="utf-8")
        if reader.has_section("X-Corpus"):
            return reader["X-Corpus"]
    return None


def _process(unit: Unit, facts: dict[str, str]) -> Process:
    state = _STATES.get(facts["ActiveState"], "UNKNOWN")
    now = time.monotonic()
    if state == RUNNING and now - int(facts["ActiveEnterTimestampMonotonic"]) / 1e6 < unit.start_seconds:
        state = "STARTING"
    if facts["SubState"] == "auto-restart":
        state = "BACKOFF"
    changed = int(facts["StateChangeTimestampMonotonic"]) / 1e6
    since = round(time.time() - (now - changed)) if changed else 0
    return Process(unit.program, state, int(facts["MainPID"]), since, _words(facts))


def _words(facts: dict[str, str]) -> str:
    """Say why a unit is not as it should be, or how often it was started again."""
    words = []
    if facts["LoadState"] != "loaded":
        words.append(f"its unit is {facts['LoadState']}")
    limited = facts["MemoryMax"].isdigit()
    if facts["Result"] == "oom-kill" or (facts["Result"] == "signal" and facts["ExecMainStatus"] == "9" and limited):
        limit = f" of {int(facts['MemoryMax']) / (1 << 20):g} MiB" if limited else ""
        words.append(f"killed: it took more memory than its limit{limit}")
    elif facts["Result"] not in ("success", ""):
        words.append(f"{facts['Result']} {facts['ExecMainStatus']}")
    if facts["NRestarts"] not in ("0", ""):
        words.append(f"started again {facts['NRestarts']} times")
    return ", ".join(words)


def _systemctl(verb: str, *words: str, check: bool = True) -> None:
    processes.run(["systemctl", "--quiet", verb, *words], check=check)
