"""The process in which the sls of a deployment run.

It is a child of the one that holds the lock: it may enter a private view of the tree, be stopped when a stage takes
too long, and dies with its parent. What it prints comes back line by line; ``cfg`` comes back after every run.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import psutil

from corpus.errors import CorpusError
from corpus.project.running import view
from corpus.project.sls import SlsRunner, StateResult

_PR_SET_PDEATHSIG = 1


class Worker:
    """A child process that runs sls on demand.

    :param make_runner: makes the runner, in the child, when the first sls is run
    :param say: gets every line that a stage's commands print
    :param note: gets every line for the log alone (Salt's own)
    """

    def __init__(
        self, make_runner: Callable[[], SlsRunner], say: Callable[[str], None], note: Callable[[str], None]
    ) -> None:
        self._say, self._note = say, note
        ours, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                ours.close()
                os.close(out_read)
                os.close(err_read)
                _settle(parent, out_write, err_write)
                _serve(theirs, make_runner)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        theirs.close()
        os.close(out_write)
        os.close(err_write)
        self._socket = ours
        self._answer = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(ours, selectors.EVENT_READ, self._answer_comes)
        for handle, listener in ((out_read, say), (err_read, note)):
            os.set_blocking(handle, False)
            self._selector.register(handle, selectors.EVENT_READ, _Lines(handle, listener))
        self._open = True

    def enter(self, project_dir: str, folders: str, instead: Mapping[str, str], beside: Mapping[str, str]) -> None:
        """Let the child see other folders in the place of some of the project's, see :func:`view.enter`.

        :raises CorpusError: the kernel does not allow it
        """
        question = {"do": "enter", "project_dir": project_dir, "view": folders}
        self._ask({**question, "instead": dict(instead), "beside": dict(beside)}, 30)

    def run(
        self, reference: str, changes: Mapping[str, Any], seconds: float
    ) -> tuple[list[StateResult], dict[str, Any]]:
        """Run an sls and return what its states did, and the ``cfg`` after it.

        :param changes: keys of ``cfg`` that are new since the last run
        :param seconds: it may take
        :raises CorpusError: it does not render, takes too long (the child is gone then), or the child died
        """
        answer = self._ask({"do": "run", "sls": reference, "changes": dict(changes)}, seconds)
        return [StateResult(**state) for state in answer["states"]], answer["cfg"]

    def close(self) -> None:
        """Stop the child and everything that it started and that is still there."""
        if not self._open:
            return
        self._open = False
        stop_session(self.pid)
        os.waitpid(self.pid, 0)
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._socket:
                key.data(key.fileobj)
                os.close(key.fd)
        self._selector.close()
        self._socket.close()

    def _ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        self._socket.sendall(json.dumps(question, default=str).encode() + b"\n")
        deadline = time.monotonic() + seconds
        while b"\n" not in self._answer:
            left = deadline - time.monotonic()
            if left <= 0:
                self.close()
                raise CorpusError(f"It took longer than {seconds:g} seconds and was stopped (timeout).")
            for key, _ in self._selector.select(min(left, 1)):
                if key.data(key.fileobj) is False:
                    self._selector.unregister(key.fileobj)
                    if key.fileobj is self._socket:
                        self.close()
                        raise CorpusError("The process that runs the stages died: see the deployment's log.")
        line, _, self._answer = self._answer.partition(b"\n")
        self._drain()
        answer: dict[str, Any] = json.loads(line)
        if "trace" in answer:
            for row in answer["trace"].splitlines():
                self._note(row)
        if "error" in answer:
            raise CorpusError(answer["error"])
        return answer

    def _answer_comes(self, _: object) -> bool | None:
        try:
            block = self._socket.recv(1 << 16)
        except ConnectionResetError:
            block = b""
        self._answer += block
        return None if block else False

    def _drain(self) -> None:
        """Take what was printed before the answer."""
        for key, _ in self._selector.select(0):
            if key.fileobj is not self._socket:
                key.data(key.fileobj)


class _Lines:
    """Cuts what comes through a pipe into lines."""

    def __init__(self, handle: int, say: Callable[[str], None]) -> None:
        self._handle, self._say, self._rest = handle, say, b""

    def __call__(self, _: object) -> bool | None:
        while True:
            try:
                block = os.read(self._handle, 1 << 16)
            except BlockingIOError:
                return None
            if not block:
                if self._rest:
                    self._say(self._rest.decode("utf-8", "replace"))
                    self._rest = b""
                return False
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                self._say(line.decode("utf-8", "replace").rstrip("\r"))


def stop_session(leader: int, born: float | None = None) -> list[psutil.Process]:
    """Kill all processes of the session that ``leader`` opened, and return them.

    :param born: when the leader started, seconds since the epoch; a session of another leader with its number is spared
    """
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader:
                members.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    for process in members:
        try:
            if born is None or process.create_time() >= born - 1:
                process.kill()
        except psutil.Error:
            continue
    return members


def stop_leftovers(deployment: str | None, leaders: Mapping[int, float]) -> None:
    """Kill what a deployment that died left running, and see it gone: it may still write where we are about to repair.

    :param deployment: its id, which every program that it started carries in its environment; None: of what its sls
        started, spare what left the worker's session: those are the daemons of a deployment that succeeded
    :param leaders: its workers and when they started, see :func:`stop_session`
    :raises CorpusError: something cannot be killed
    """
    for _ in range(100):
        found = [process for leader, born in leaders.items() for process in stop_session(leader, born)]
        for process in psutil.process_iter() if deployment else ():
            with suppress(psutil.Error, OSError):
                if process.environ().get(view.SESSION) == deployment and process.pid != os.getpid():
                    process.kill()
                    found.append(process)
        if not any(_lives(process) for process in found):
            return
        time.sleep(0.05)
    raise CorpusError(f"Processes of the deployment {deployment} that died do not end: {[one.pid for one in found]}.")


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def birth(pid: int) -> float:
    """Return when a living process started, in seconds since the epoch."""
    return float(psutil.Process(pid).create_time())


def _settle(parent: int, out: int, err: int) -> None:
    """Become a session of our own that ends with its parent and talks through pipes."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    _log_to_stderr()
    here = os.path.dirname(sys.executable)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), here, "/usr/local/sbin:/usr/sbin:/sbin"])


def _log_to_stderr() -> None:
    """Send what Salt logs to the deployment's log, where secrets are taken out, instead of the minion's."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("[%(levelname)s] %(name)s: %(message)s"))
    root.addHandler(handler)


def _serve(connection: socket.socket, make_runner: Callable[[], SlsRunner]) -> None:
    runner: SlsRunner | None = None
    with suppress(Exception):  # made while our parent is still busy; what hinders it is told when it is needed
        runner = make_runner()
    with connection.makefile("rwb") as stream:
        for line in stream:
            question = json.loads(line)
            try:
                if question["do"] == "enter":
                    view.enter(
                        question["project_dir"], question["view"], question["instead"], beside=question["beside"]
                    )
                    answer: dict[str, Any] = {}
                else:
                    runner = runner or make_runner()
                    runner.cfg.update(question["changes"])
                    states = runner.run(question["sls"])
                    answer = {"states": [asdict(state) for state in states], "cfg": runner.cfg}
            except CorpusError as err:
                answer = {"error": str(err)}
            except Exception as err:
                answer = {"error": f"{type(err).__name__}: {err}", "trace": traceback.format_exc()}
            sys.stdout.flush()
            sys.stderr.flush()
            stream.write(json.dumps(answer, default=str).encode() + b"\n")
            stream.flush()
