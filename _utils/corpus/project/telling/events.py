"""Salt's event bus: what happens to a deployment, for a controller that wants to know it as it goes.

Tags are ``corpus/deployment/<project>/<deployment>/<what>``. They go to the bus of the machine's minion, which passes
them on to its master. Where no minion runs there is no bus, and nothing is lost by that.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

from corpus.project.minion import Minion
from corpus.secrets import Redactor

_SECONDS = 0.2  # that a minion may take to answer; after that nobody is told anything any more


class Events:
    """The events of one deployment.

    :param minion: whose bus they go to
    :param name: of the project
    :param deployment: its id
    :param redactor: takes secrets out
    :param silent: fire nothing
    """

    def __init__(self, minion: Minion, name: str, deployment: str, redactor: Redactor, silent: bool = False) -> None:
        self._opts, self._redactor = minion.opts, redactor
        self._tag = f"corpus/deployment/{name}/{deployment}"
        self._bus: Any = None
        self._dead = silent or not _listens(Path(str(minion.opts.get("sock_dir", ""))))

    def fire(self, what: str, **facts: Any) -> None:
        """Tell everybody who listens; no error and no delay when nobody does."""
        if self._dead:
            return
        try:
            if self._bus is None:
                import salt.utils.event

                self._bus = salt.utils.event.MinionEvent(dict(self._opts), listen=False)
            told = {"data": self._redactor.tree(facts), "tag": f"{self._tag}/{what}", "events": None, "pretag": None}
            self._dead = not self._bus.fire_event(told, "fire_master", timeout=_SECONDS * 1000)
        except Exception:  # whatever ails the bus: a deployment does not depend on it
            self._dead = True

    def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            with contextlib.suppress(Exception):
                self._bus.destroy()
            self._bus = None


def _listens(folder: Path) -> bool:
    """Tell whether a minion answers at its socket: one that died leaves the file."""
    for path in folder.glob("minion_event_*_pull.ipc"):
        with contextlib.suppress(OSError), contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(_SECONDS)
            probe.connect(str(path))
            return True
    return False
