"""What people follow: events of operations and deployments, in the registry, in the order in which they happened.

Operations write theirs with their journal. Those of deployments come from guests over the master's bus; any minion can
put any event there, so that one counts only when the project is placed on the guest that the master says it came from.
"""

from __future__ import annotations

import datetime
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import Event
    from corpus.controller.registry.store import Registry

log = logging.getLogger(__name__)

_TAG = re.compile(r"corpus/deployment/(?P<project>[^/]{1,31})/(?P<deployment>[^/]{1,100})/(?P<what>[^/]{1,40})")
#: Longer than that is no stage's event.
_LONGEST = 20_000
#: How long what is followed is kept.
KEPT = datetime.timedelta(days=7)
_FORGETTING = 600.0
#: How long a deployment may go on, and how many events of a project are looked at for those that do.
_LASTS, _LOOKED_AT = datetime.timedelta(hours=2), 200
#: Within which the registry has a deployment that ended.
_RECORDED = datetime.timedelta(minutes=1)


def listen(cloud: Cloud, beside: Callable[[], None] = lambda: None) -> None:
    """Keep the events of deployments until the process ends.

    :param beside: is called now and then
    """
    import salt.utils.event

    with salt.utils.event.get_event(
        "master", sock_dir=cloud.opts["sock_dir"], opts=dict(cloud.opts), listen=True
    ) as bus:
        forgotten = 0.0
        while True:
            beside()
            if time.monotonic() > forgotten:
                _try(lambda: forget(cloud.registry))
                forgotten = time.monotonic() + _FORGETTING
            event = bus.get_event(wait=30, tag="corpus/deployment/", full=True, auto_reconnect=True)
            if event:
                _try(lambda event=event: keep(cloud.registry, event["tag"], event["data"]))


def _try(work: Any) -> None:
    try:
        work()
    except CorpusError as err:
        log.warning("%s", err)


def keep(registry: Registry, tag: str, data: Mapping[str, Any]) -> bool:
    """Keep an event of a deployment; return whether it was one.

    :param data: as the master's bus has it: ``id`` is the minion that it came from
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Event, Guest, Placement, Project

    match = _TAG.fullmatch(tag)
    told = data.get("data")
    if match is None or not isinstance(told, Mapping) or len(str(told)) > _LONGEST:
        return False
    minion, project = str(data.get("id", "")), match["project"]
    placed = (
        select(Guest.name)
        .join(Placement, Placement.guest_id == Guest.id)
        .join(Project, Placement.project_id == Project.id)
        .where(Guest.minion_id == minion, Project.name == project)
    )
    with registry.session() as session:
        guest = session.scalar(placed)
        if guest is None:
            return False
        kind = match["what"] if match["what"] in ("begin", "end") else "stage"
        session.add(
            Event(
                kind=f"deployment.{kind}",
                project=project,
                guest=guest,
                subject=f"project:{project}",
                data={**told, "deployment": match["deployment"], "what": match["what"]},
            )
        )
    return True


def after(registry: Registry, last: int, limit: int = 500) -> Sequence[Event]:
    """Return the events behind one, the oldest first.

    :param last: its id; 0: from the first that is kept
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Event

    with registry.reading() as session:
        return session.scalars(select(Event).where(Event.id > last).order_by(Event.id).limit(limit)).all()


@dataclass
class Told:
    """A deployment as its guest told it while it went on.

    :param stages: what was told of each, by name, in their order: ``state``, and behind its end ``seconds``
    :param ended: when it told its end; None: it goes on
    """

    deployment: str
    guest: str
    began: datetime.datetime
    who: str
    revision: str
    mode: str
    stages: dict[str, dict[str, Any]]
    ended: datetime.datetime | None = None


def told(registry: Registry, project: str) -> list[Told]:
    """Return the deployments that a project's guests told of lately, the newest first."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Event, now

    wanted = (
        select(Event)
        .where(Event.project == project, Event.kind.startswith("deployment."), Event.at > now() - _LASTS)
        .order_by(Event.id.desc())
        .limit(_LOOKED_AT)
    )
    with registry.reading() as session:
        rows = session.scalars(wanted).all()
    found: dict[tuple[str, str], Told] = {}
    for row in reversed(rows):
        data, name, guest = row.data, str(row.data.get("deployment")), str(row.guest)
        if row.kind == "deployment.begin":
            who, revision, mode = (str(data.get(key) or "") for key in ("who", "revision", "mode"))
            stages: dict[str, dict[str, Any]] = {str(stage): {"state": "waiting"} for stage in data.get("stages") or ()}
            found[name, guest] = Told(name, guest, row.at, who, revision, mode, stages)
        elif (name, guest) in found and row.kind == "deployment.end":
            found[name, guest].ended = row.at
        elif (name, guest) in found:
            stage = {"state": str(data.get("state") or ""), "seconds": data.get("seconds")}
            found[name, guest].stages[str(data.get("stage"))] = stage
    return list(reversed(found.values()))


def under_way(registry: Registry, project: str) -> list[Told]:
    """Return the deployments of a project that run now, the newest first.

    What began long ago and never told its end died with its machine: it is no longer told.
    """
    return [one for one in told(registry, project) if one.ended is None]


def being_recorded(registry: Registry, project: str) -> set[str]:
    """Return the deployments that ended a moment ago: the registry has them as soon as their guest was asked."""
    from corpus.controller.registry.models import now

    return {one.deployment for one in told(registry, project) if one.ended and one.ended > now() - _RECORDED}


def newest(registry: Registry) -> int:
    """Return the id of the newest event; 0 when there is none."""
    from sqlalchemy import func, select

    from corpus.controller.registry.models import Event

    with registry.reading() as session:
        return session.scalar(select(func.max(Event.id))) or 0


def forget(registry: Registry) -> None:
    """Remove what nobody will ask for any more: old events, questions that nobody read, keys and tokens that ended."""
    from sqlalchemy import delete

    from corpus.controller.questions import KEPT as ANSWERS
    from corpus.controller.registry.models import AccessToken, Event, IdempotencyKey, Question, now

    ends = {
        Event.at: KEPT,
        Question.asked: ANSWERS,
        IdempotencyKey.created: datetime.timedelta(days=1),
        AccessToken.expires: datetime.timedelta(0),
    }
    with registry.session() as session:
        for column, age in ends.items():
            session.execute(delete(column.class_).where(column < now() - age))
