"""Processes under supervisord: one supervisor for all projects of a machine, started outside of every view.

It runs the same with and without root, in a container and on a laptop. Each program is known to it as
``<group>@<program>`` and has a configuration file of its own, so that one may come or go while the others run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from corpus import files, processes
from corpus.errors import CorpusError, MissingTool
from corpus.project.layout import Roots
from corpus.project.running import view
from corpus.project.running.supervision import DOWN, Process, Program, Supervisor, poll

_SOCKET_LIMIT = 100  # sun_path holds 108 bytes (unix(7))

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


class Supervisord(Supervisor):
    """The supervisord of a projects root."""

    kind = "supervisord"

    def __init__(self, roots: Roots) -> None:
        super().__init__(roots)
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
        self.roots.own.chmod(0o711)
        self.folder.chmod(0o700)
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.geteuid():
            raise CorpusError(f"{self.socket.parent} belongs to somebody else: remove it.")
        files.write(
            self.settings,
            _MAIN.format(projects=self.roots.projects, folder=_escaped(self.folder), socket=_escaped(self.socket)),
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
        for path in self.roots.own.glob("*/*.pid"):  # nginx writes its title over its environment
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

    def retire(self) -> None:
        """Stop for good: what it ran is another's from now on."""
        self.stop()
        self.settings.unlink(missing_ok=True)
        for path in (self.folder / "conf.d").glob("*.conf"):
            path.unlink()

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

    def run(self, group: str, programs: Sequence[Program]) -> None:
        """Start programs, also when supervisord itself is started again, beside what runs in the group already."""
        self.start()
        for program in programs:
            files.write(self._file(group, program.name), configured(group, program), 0o600)
        self._call("reloadConfig")
        for program in programs:
            self._call("addProcessGroup", f"{group}@{program.name}")

    def remove(self, group: str, names: Sequence[str]) -> None:
        """Stop programs of a group, all at once, and know them no more."""
        up = {process.name for process in self.processes(group)} & set(names)
        for name in up:
            self._call("stopProcessGroup", f"{group}@{name}", False)
        for _ in poll(math.inf):  # supervisord kills what takes longer than its drain; waiting there costs a second
            if all(process.state in DOWN for process in self.processes(group) if process.name in up):
                break
        for name in up:
            self._call("removeProcessGroup", f"{group}@{name}")
        for name in names:
            self._file(group, name).unlink(missing_ok=True)

    def known(self, group: str) -> set[str]:
        """Return the names of the programs of a group that have a configuration file, or run."""
        files_of = {path.stem.rpartition("@") for path in (self.folder / "conf.d").glob("*@*.conf")}
        return {name for owner, _, name in files_of if owner == group} | {one.name for one in self.processes(group)}

    def processes(self, group: str) -> list[Process]:
        """Return the processes of a group; none when it is not known."""
        if not self.alive():
            return []
        found = []
        for info in self._call("getAllProcessInfo"):
            owner, _, name = info["name"].rpartition("@")
            if owner == group:
                found.append(Process(name, info["statename"], info["pid"], info["start"], info["description"]))
        return found

    def groups(self) -> set[str]:
        """Return the names of the groups that have a configuration file."""
        return {path.stem.rpartition("@")[0] for path in (self.folder / "conf.d").glob("*@*.conf")}

    def signal(self, group: str, name: str) -> None:
        """Send a signal (``HUP``) to every process of a group."""
        for process in self.processes(group):
            self._call("signalProcessGroup", f"{group}@{process.name}", name)

    def _file(self, group: str, name: str) -> Path:
        return self.folder / "conf.d" / f"{group}@{name}.conf"


def configured(group: str, program: Program) -> str:
    """Return a program's section in supervisor's configuration, where ``%`` would introduce an expansion."""
    return _PROGRAM.format(
        name=f"{group}@{program.name}",
        command=_escaped(shlex.join(program.argv)),
        start_seconds=program.start_seconds,
        stop_signal=program.stop_signal,
        drain=max(1, program.drain),
        log=_escaped(program.log or "NONE"),
    )


def _escaped(value: object) -> str:
    """A value for supervisor's configuration, where ``%`` introduces an expansion."""
    return str(value).replace("%", "%%")
