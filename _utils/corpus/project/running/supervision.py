"""Processes under supervisord: one supervisor for all projects of a machine, started outside of every view.

A release's processes are one supervisor group, ``<project>.<release>``; two releases run side by side while the new
one proves itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import re
import shlex
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from corpus import files, processes
from corpus.errors import CorpusError, MissingTool
from corpus.project.layout import Layout, Roots
from corpus.project.running import view

_PORTS = range(20000, 30000)
_START_SECONDS = 1
_SOCKET_LIMIT = 100  # sun_path holds 108 bytes (unix(7))
_TYPE = re.compile(r"[A-Za-z0-9_-]{1,40}")
_DOWN = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
_FAILED = ("BACKOFF", *_DOWN)

_MAIN = """\
; Written by corpus: one supervisor for all projects under {projects}.
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={folder}/supervisord.log
logfile_maxbytes=2MB
logfile_backups=1
pidfile={folder}/supervisord.pid
childlogdir={folder}
nodaemon=false
directory=/

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}

[include]
files={folder}/conf.d/*.conf
"""

_PROGRAM = """\
[program:{name}]
command={command}
directory=/
autostart=true
autorestart=true
startsecs={start_seconds}
startretries=2
stopsignal={stop_signal}
stopwaitsecs={drain}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=5MB
stdout_logfile_backups=2

"""


@dataclass(frozen=True)
class Program:
    """A program for supervisor to run.

    :param name: unique in its group
    :param argv: argument list
    :param log: file for what it prints
    :param drain: seconds between the stop signal and the kill
    :param stop_signal: that asks it to finish
    :param start_seconds: it must stay up that long to count as started
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    drain: int = 5
    stop_signal: str = "TERM"
    start_seconds: int = _START_SECONDS

    def configured(self, group: str) -> str:
        """Return its section in supervisor's configuration, where ``%`` would introduce an expansion."""
        return _PROGRAM.format(
            name=f"{group}.{self.name}",
            command=_escaped(shlex.join(self.argv)),
            start_seconds=self.start_seconds,
            stop_signal=self.stop_signal,
            drain=max(1, self.drain),
            log=_escaped(self.log),
        )


@dataclass(frozen=True)
class Process:
    """A process as its supervisor sees it.

    :param type: the process type, ``web`` say
    :param state: supervisor's word: RUNNING, STARTING, BACKOFF, FATAL …
    :param pid: process id; 0 when there is none
    :param since: when it entered that state, seconds since the epoch
    :param words: what supervisor says of it
    """

    type: str
    state: str
    pid: int
    since: int
    words: str


class Supervisor:
    """The supervisord of a projects root.

    :param roots: of the machine
    """

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self.folder = roots.own / "supervisor"
        plain = self.folder / "socket"
        if len(str(plain)) > _SOCKET_LIMIT:
            short = hashlib.sha256(str(plain).encode()).hexdigest()[:12]
            plain = Path(tempfile.gettempdir()) / f"corpus-{os.geteuid()}-{short}" / "socket"
        self.socket = plain

    def start(self) -> bool:
        """Start supervisord unless it runs; return whether it was started now.

        :raises MissingTool: it is not installed
        :raises CorpusError: it did not come up
        """
        if self.alive():
            return False
        (self.folder / "conf.d").mkdir(parents=True, exist_ok=True)
        self._roots.own.chmod(0o711)
        self.folder.chmod(0o700)
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.geteuid():
            raise CorpusError(f"{self.socket.parent} belongs to somebody else: remove it.")
        files.write(
            self.settings,
            _MAIN.format(projects=self._roots.projects, folder=_escaped(self.folder), socket=_escaped(self.socket)),
            0o600,
        )
        with (self.folder / "starting").open("w") as turn:  # two projects may need it at the same moment
            fcntl.flock(turn, fcntl.LOCK_EX)
            if self.alive():
                return False
            self._end_orphans()
            processes.run(
                [*self.program(), "-c", self.settings], cwd="/", env={"PYTHONWARNINGS": "ignore", view.SESSION: None}
            )
            for _ in poll(10):
                if self.alive():
                    return True
        raise CorpusError(f"supervisord did not come up: see {self.folder}/supervisord.log.")

    def _end_orphans(self) -> None:
        """End what a supervisord that was killed left running: it holds the ports that its successor's need."""
        ours = f"unix://{self.socket}"
        groups = set()
        for path in self._roots.own.glob("*/*.pid"):  # nginx writes its title over its environment
            with contextlib.suppress(OSError, ValueError):
                groups.add(int(path.read_text(encoding="utf-8")))
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error, OSError):
                front = process.info["name"] == "nginx" and os.getpgid(process.pid) in groups
                if front or process.environ().get("SUPERVISOR_SERVER_URL") == ours:
                    process.kill()

    @property
    def settings(self) -> Path:
        """Its configuration file."""
        return self.folder / "supervisord.conf"

    @staticmethod
    def program() -> list[str]:
        """Return the command that starts supervisord: that of this very Python when it has one: its users' PATH does not matter then."""
        try:
            import supervisor.supervisord  # noqa: F401
        except ImportError:
            return [processes.which("supervisord")]
        return [sys.executable, "-m", "supervisor.supervisord"]

    def stop(self) -> None:
        """Stop supervisord and all that it runs; nothing when it does not run."""
        if not self.alive():
            return
        self._call("shutdown")
        for _ in poll(30):
            if not self.alive() and not (self.folder / "supervisord.pid").exists():
                return
        raise CorpusError(f"supervisord did not stop: see {self.folder}/supervisord.log.")

    def alive(self) -> bool:
        """Tell whether it answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except (OSError, CorpusError):
            return False

    def _call(self, method: str, *arguments: Any) -> Any:
        import xmlrpc.client

        try:
            from supervisor.xmlrpc import SupervisorTransport
        except ImportError as err:
            raise MissingTool(
                "Processes run under supervisor: install the Python package supervisor beside Salt."
            ) from err
        proxy = xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{self.socket}")
        )
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as err:
            raise CorpusError(f"supervisor: {err.faultString}") from err

    def run_group(self, group: str, programs: list[Program]) -> None:
        """Let supervisor run a group of programs; a group of the same name is replaced."""
        self.start()
        names = ",".join(f"{group}.{program.name}" for program in programs)
        sections = "".join(program.configured(group) for program in programs)
        files.write(
            self.folder / "conf.d" / f"{group}.conf",
            f"[group:{group}]\nprograms={names}\n\n{sections}",
            0o600,
        )
        self._call("reloadConfig")
        self.forget(group, keep_file=True)
        self._call("addProcessGroup", group)

    def forget(self, group: str, keep_file: bool = False) -> None:
        """Stop a group and know it no more; nothing when it is not known. Its file goes last: it names what to stop."""
        if self.processes(group):
            self._call("stopProcessGroup", group, False)
            for _ in poll(math.inf):  # supervisord kills what takes longer than its drain; waiting there costs a second
                if all(process.state in _DOWN for process in self.processes(group)):
                    break
            self._call("removeProcessGroup", group)
        if not keep_file:
            (self.folder / "conf.d" / f"{group}.conf").unlink(missing_ok=True)

    def processes(self, group: str) -> list[Process]:
        """Return the processes of a group; none when it is not known."""
        if not self.alive():
            return []
        return [
            Process(
                info["name"].removeprefix(f"{group}."),
                info["statename"],
                info["pid"],
                info["start"],
                info["description"],
            )
            for info in self._call("getAllProcessInfo")
            if info["group"] == group
        ]

    def groups(self) -> set[str]:
        """Return the names of the groups that have a configuration file."""
        return {path.stem for path in (self.folder / "conf.d").glob("*.conf")}

    def signal(self, group: str, name: str) -> None:
        """Send a signal (``HUP``) to every process of a group."""
        self._call("signalProcessGroup", group, name)


def poll(seconds: float, interval: float = 0.05) -> Iterator[None]:
    """Yield at once and then every ``interval`` seconds, until ``seconds`` are over."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() >= deadline:
            return
        time.sleep(interval)


def group_name(layout: Layout, release: str) -> str:
    return f"{layout.name}.{release}"


def procfile(tree: Path) -> dict[str, str]:
    """Return the process types and command lines of a tree's ``Procfile``; empty when there is none.

    :raises CorpusError: a line is not ``<type>: <command>``
    """
    try:
        lines = (tree / "Procfile").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as err:
        raise CorpusError("Procfile: it is not UTF-8.") from err
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kind, colon, command = line.partition(":")
        if not colon or not command.strip() or not _TYPE.fullmatch(kind.strip()):
            raise CorpusError(f"Procfile, line {number}: expected '<type>: <command>'.")
        found[kind.strip()] = command.strip()
    return found


def specify(layout: Layout, release: str, cfg: Mapping[str, Any], tree: Path, views: bool) -> dict[str, Any]:
    """Write down the processes of a release, environment and port included, and return that.

    :param tree: where the release's tree is now
    :param views: whether processes of a tree that stands aside get a private view
    :returns: empty ``processes`` when the project has none
    """
    commands = dict(cfg["processes"]) or procfile(tree)
    commands.pop("release", None)
    root = layout.project
    env = {
        "PATH": f"{root}/venv/bin:{root}/bin:{root}/node_modules/.bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(layout.home),
        "LANG": "C.UTF-8",
        "DATA_ROOT": str(cfg["data_root"]),
        "CORPUS_PROJECT": layout.name,
        "CORPUS_RELEASE": release,
        "PYTHONUNBUFFERED": "1",
        **{key: str(value) for key, value in cfg["env"].items()},
    }
    port = free_port() if "web" in commands else None
    specification = {
        "project_dir": str(layout.folder),
        "cwd": str(root),
        "tree": str(layout.tree(release)),
        "view": str(layout.view) if views else None,
        "user": cfg["user"] if os.geteuid() == 0 else None,
        "port": port,
        "env": env,
        "drain": cfg["drain"],
        "processes": {
            kind: {
                "argv": ["/bin/sh", "-c", f"exec {command}"],
                "env": {"PORT": str(port)} if kind == "web" else {},
            }
            for kind, command in commands.items()
        },
    }
    path = layout.processes(release)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    files.write_json(path, specification)
    return specification


def specified(layout: Layout, release: str) -> dict[str, Any]:
    """Return what :func:`specify` wrote down for a release; no processes when it wrote nothing."""
    return dict(files.read_json(layout.processes(release), {"processes": {}, "port": None}))


def with_new_port(layout: Layout, release: str) -> dict[str, Any]:
    """Give an earlier release a port that is free now, and return its specification."""
    specification = specified(layout, release)
    if specification["port"] is not None:
        specification["port"] = free_port()
        specification["processes"]["web"]["env"]["PORT"] = str(specification["port"])
        files.write_json(layout.processes(release), specification)
    return specification


def free_port() -> int:
    """Return a loopback port that nobody listens on.

    :raises CorpusError: all 10,000 are taken
    """
    start = int.from_bytes(os.urandom(2), "big") % len(_PORTS)
    for offset in range(len(_PORTS)):
        port = _PORTS[(start + offset) % len(_PORTS)]
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise CorpusError(f"No port is free between {_PORTS.start} and {_PORTS.stop}.")


def start(supervisor: Supervisor, layout: Layout, release: str) -> list[str]:
    """Start the processes of a release and see them stay up for a second.

    :returns: their types; empty when the release has none
    :raises CorpusError: one of them does not stay up; the message has its last line of output
    """
    specification = specified(layout, release)
    kinds = sorted(specification["processes"])
    if not kinds:
        return []
    layout.logs.mkdir(mode=0o755, exist_ok=True)
    group = group_name(layout, release)
    programs = [
        Program(
            name=kind,
            argv=(sys.executable, "-S", view.__file__, str(layout.processes(release)), kind),
            log=_log(layout, kind),
            drain=int(specification["drain"]),
        )
        for kind in kinds
    ]
    began = {kind: _log(layout, kind).stat().st_size if _log(layout, kind).exists() else 0 for kind in kinds}
    supervisor.run_group(group, programs)
    for _ in poll(_START_SECONDS * 8 + 5):
        states = {process.type: process for process in supervisor.processes(group)}
        for kind, process in states.items():
            if process.state in _FAILED:
                words = last_words(layout, kind, began[kind]) or process.words
                raise CorpusError(f"The process {kind!r} does not stay up: {words}")
        if states and all(process.state == "RUNNING" for process in states.values()):
            return kinds
    raise CorpusError(f"The processes of {layout.name} did not start in time.")


def running(supervisor: Supervisor, layout: Layout, release: str) -> bool:
    """Tell whether all processes of a release run (a release without any counts)."""
    kinds = set(specified(layout, release)["processes"])
    up = {process.type for process in supervisor.processes(group_name(layout, release)) if process.state == "RUNNING"}
    return kinds <= up


def stop(supervisor: Supervisor, layout: Layout, release: str) -> None:
    """Let the processes of a release finish their requests, and stop them."""
    supervisor.forget(group_name(layout, release))


def stop_others(supervisor: Supervisor, layout: Layout, release: str | None) -> None:
    """Stop every process of the project that is not of ``release``."""
    for group in supervisor.groups():
        if group.startswith(f"{layout.name}.") and group != f"{layout.name}.{release}":
            supervisor.forget(group)


def _log(layout: Layout, kind: str) -> Path:
    return layout.logs / f"{kind}.log"


def last_words(layout: Layout, kind: str, offset: int = 0) -> str:
    """Return the last line that a process printed since ``offset`` in its log, or an empty text."""
    try:
        with _log(layout, kind).open("rb") as stream:
            stream.seek(max(offset, stream.seek(0, os.SEEK_END) - 65536))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _escaped(value: object) -> str:
    """A value for supervisor's configuration, where ``%`` introduces an expansion."""
    return str(value).replace("%", "%%")
