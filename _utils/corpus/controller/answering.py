"""A process that answers at once what a service beside the master asks (:mod:`corpus.controller.questions`).

It has everything loaded, looks for questions that nobody answers yet, and forks for each. Without it, the service asks
the master to answer by a runner, which takes a second of a processor each time.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from corpus.controller import questions
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

log = logging.getLogger(__name__)

#: Seconds between two looks: when somebody asked just now, when nobody did for a while, and after one that failed.
_SHORTEST, _LONGEST, _FAILED = 0.03, 0.2, 5.0
#: Questions that are answered at the same time.
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
    """Do the whole work of a process that was forked, and end it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
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
    for name in (*_LOADED, *questions.rooms()):
        importlib.import_module(name)
    working: dict[int, str] = {}
    pause = _SHORTEST
    while os.getppid() == parent:
        pause = _SHORTEST if working else min(pause * 1.02, _LONGEST)
        try:
            _reap(cloud, working)
            for uuid in questions.waiting(cloud.registry, MOST - len(working)):
                if questions.take(cloud.registry, uuid):
                    working[_forked(cloud, uuid)] = uuid
        except CorpusError as err:
            log.warning("Questions cannot be looked for: %s", err)
            time.sleep(_FAILED)
        time.sleep(pause)


def _forked(cloud: Cloud, uuid: str) -> int:
    pid = os.fork()
    if pid == 0:
        _alone(lambda: questions.work(cloud, uuid))
    return pid


def _reap(cloud: Cloud, working: dict[int, str]) -> None:
    """Forget who is done; whoever died leaves a question that nobody else answers."""
    for pid in list(working):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            uuid = working.pop(pid)
            if status:
                questions.abandon(cloud.registry, uuid)
