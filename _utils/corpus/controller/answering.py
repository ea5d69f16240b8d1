"""A process that answers at once what a service beside the master asks (:mod:`corpus.controller.questions`).

It has everything loaded, looks for questions that nobody answers yet, and forks for each: operations that were queued begin
in it, too. Without it, the service asks the master to answer by a runner, which takes a second of a processor each time.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from corpus.controller import operations, questions
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

log = logging.getLogger(__name__)

#: Seconds between two looks: when somebody asked just now, when nobody did for a while, and after one that failed.
_SHORTEST, _LONGEST, _FAILED = 0.03, 0.2, 5.0
#: Questions that are answered at the same time, beside those that take minutes.
MOST = 16
#: What answers need, beside the rooms that give them.
_LOADED = (
    "salt.auth",
    "salt.client",
    "salt.loader",
    "corpus.controller.registry.models",
    "corpus.controller.identities",
)


class Answers:
    """The process, kept by another one.

    :param begin: makes the cloud that it works with
    """

    def __init__(self, begin: Callable[[], Cloud]) -> None:
        self._begin = begin
        self._pid: int | None = None

    def keep(self) -> None:
        """Start the process when it does not run."""
        if self._pid is not None:
            with suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                    return
            log.warning("The process that answers questions ended: another one is started")
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _alone(lambda: _serve(self._begin(), parent))


def _alone(work: Callable[[], None]) -> None:
    """Do the whole work of a process that was forked, and end it; an operation that is told to end undoes what it did."""
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    status = 1
    try:
        work()
        status = 0
    except Exception:
        log.exception("A process that answers questions failed")
    finally:
        os._exit(status)


def _serve(cloud: Cloud, parent: int) -> None:
    """Answer until the process that started this one ends."""
    from salt.utils.process import appendproctitle

    appendproctitle("corpus answers")
    for name in _LOADED:
        importlib.import_module(name)
    questions.load()
    operations.kinds()
    working = _Working(cloud)
    pause = _SHORTEST
    while os.getppid() == parent:
        pause = _SHORTEST if working.pids else min(pause * 1.02, _LONGEST)
        try:
            working.reap()
            working.take()
        except CorpusError as err:
            log.warning("Questions cannot be looked for: %s", err)
            time.sleep(_FAILED)
        time.sleep(pause)


class _Working:
    """The processes that answer now, or settle what another one left.

    :param pids: of each the question that it answers, if it does, and whether that lasts
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.pids: dict[int, tuple[str | None, bool]] = {}

    def take(self) -> None:
        """Begin to answer what waits."""
        short = sum(1 for _, lasts in self.pids.values() if not lasts)
        for uuid, lasts in questions.waiting(self._cloud.registry, MOST - short):
            if questions.take(self._cloud.registry, uuid):
                self.pids[self._forked(questions.work, uuid)] = (uuid, lasts)

    def reap(self) -> None:
        """Forget who is done; whoever died leaves a question that nobody else answers."""
        for pid in list(self.pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                uuid, lasts = self.pids.pop(pid)
                if status and uuid:
                    self.pids[self._forked(questions.abandon, uuid)] = (None, lasts)

    def _forked(self, work: Callable[[Cloud, str], None], uuid: str) -> int:
        pid = os.fork()
        if pid == 0:
            _alone(lambda: work(self._cloud, uuid))
        return pid
