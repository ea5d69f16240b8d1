"""The master's bus: what operations tell there, and what is done when a machine or a deployment tells something.

Any minion can put any event on the bus, in the name of another one. An event is a hint, therefore: what it is about is
asked for where it happened, and only what the registry knows is asked.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

log = logging.getLogger(__name__)

_DEPLOYED = re.compile(r"corpus/deployment/(?P<project>[^/]+)/(?P<deployment>[^/]+)/end")
_STARTED = re.compile(r"salt/minion/(?P<minion>[^/]+)/start")


class Bus:
    """The bus, for who tells something. Where no master runs nobody listens, and nothing is lost by that.

    :param opts: of the master
    """

    def __init__(self, opts: Mapping[str, Any]) -> None:
        self._opts = opts
        self._bus: Any = None
        self._dead = False

    def tell(self, tag: str, data: Mapping[str, Any]) -> None:
        """Fire an event; no error when nobody takes it."""
        if self._dead:
            return
        try:
            if self._bus is None:
                if not _listens(Path(str(self._opts.get("sock_dir", "")))):
                    self._dead = True
                    return
                import salt.utils.event

                self._bus = salt.utils.event.get_master_event(dict(self._opts), self._opts["sock_dir"], listen=False)
            self._dead = not self._bus.fire_event(dict(data), tag, timeout=1000)
        except Exception as err:  # whatever ails the bus: an operation does not depend on it
            log.debug("The bus takes no events any more: %s", err)
            self._dead = True

    def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            with suppress(Exception):
                self._bus.destroy()
            self._bus = None


def heard(cloud: Cloud, tag: str, minion_id: str) -> dict[str, Any]:
    """Do what an event asks for; return what was done.

    :param tag: of the event
    :param minion_id: that it says it is from
    """
    for pattern, answer in _ANSWERS:
        match = pattern.fullmatch(tag)
        if match:
            if minion_id not in cloud.minions.accepted():
                return {"result": False, "comment": f"{minion_id} is no minion of this master."}
            return answer(cloud, minion_id, match.groupdict())
    return {"result": True, "comment": f"{tag} concerns nobody."}


def _deployed(cloud: Cloud, minion_id: str, words: Mapping[str, str]) -> dict[str, Any]:
    """A deployment is over: keep what the guest tells of it when it is asked."""
    from corpus.controller import projects

    new = projects.collect(cloud, words["project"], minion_id, limit=5)
    return {"result": True, "comment": f"{len(new)} deployments are new.", "deployments": new}


def _started(cloud: Cloud, minion_id: str, _: Mapping[str, str]) -> dict[str, Any]:
    """A node or a guest is there again: remember when, and let its node's traffic be what the registry says."""
    from sqlalchemy import select

    from corpus.controller import wiring
    from corpus.controller.registry import models

    with cloud.registry.session() as session:
        guest = session.scalar(select(models.Guest).where(models.Guest.minion_id == minion_id))
        node = session.scalar(select(models.ComputeNode).where(models.ComputeNode.minion_id == minion_id))
        if guest is not None:
            guest.started = models.now()
            node = guest.node
        if node is None:
            return {"result": True, "comment": f"{minion_id} is neither a node nor a guest."}
        name, state = node.name, node.state
    if state not in ("ready", "draining"):
        return {"result": True, "comment": f"{name} is {state}: its traffic is left as it is."}
    try:
        return {"result": True, "comment": f"{name} is wired.", "changes": wiring.traffic(cloud, name)}
    except CorpusError as err:
        return {"result": False, "comment": f"{name} could not be wired: {err}"}


_Answer = Callable[["Cloud", str, Mapping[str, str]], dict[str, Any]]
_ANSWERS: tuple[tuple[re.Pattern[str], _Answer], ...] = ((_DEPLOYED, _deployed), (_STARTED, _started))


def _listens(folder: Path) -> bool:
    """Tell whether a master takes events: one that died leaves the socket's file."""
    for path in folder.glob("master_event_pull.ipc"):
        with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(0.2)
            probe.connect(str(path))
            return True
    return False
