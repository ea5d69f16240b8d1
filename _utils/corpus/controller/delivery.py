"""How projects are delivered, from the deployments that the registry keeps (:mod:`corpus.statistics`)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from corpus import statistics

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: Deployments that are looked at, the newest ones: of one project, and of several together, which more people ask for.
MOST, MOST_TOGETHER = 5000, 1000
#: What was before the time that is looked at tells which of its deployments was taken back, and which commits were new.
_BEFORE = datetime.timedelta(days=14)


@dataclass(frozen=True)
class Figures:
    """What was found.

    :param told: see :func:`corpus.statistics.together`
    :param complete: whether every deployment of the time was looked at
    """

    told: Mapping[str, Any]
    complete: bool


def figures(session: Session, projects: Sequence[int] | None, days: float, guest: str | None = None) -> Figures:
    """Return the figures of projects, together.

    :param projects: their ids; None: all
    :param days: that are looked back
    :param guest: only what was there
    """
    from sqlalchemy import Text, cast, select

    from corpus.controller.registry.models import Deployment, now

    end = now()
    columns = (
        Deployment.project_id,
        Deployment.guest_name,
        Deployment.deployment_id,
        Deployment.result,
        Deployment.who,
        Deployment.started,
        Deployment.seconds,
        cast(Deployment.report, Text),
    )
    begin = end - datetime.timedelta(days=days) - _BEFORE
    wanted = select(*columns).where(Deployment.started >= begin)
    if projects is not None:
        wanted = wanted.where(Deployment.project_id.in_(projects))
    if guest is not None:
        wanted = wanted.where(Deployment.guest_name == guest)
    most = MOST if projects is not None and len(projects) == 1 else MOST_TOGETHER
    rows = session.execute(wanted.order_by(Deployment.started.desc(), Deployment.id.desc()).limit(most + 1)).all()
    lines: dict[tuple[int, str], list[dict[str, Any]]] = {}
    rows, complete = rows[:most], len(rows) <= most
    reports = json.loads(f"[{','.join(row[-1] for row in rows)}]")  # all at once: most of the time goes there
    for row, report in zip(reversed(rows), reversed(reports), strict=True):
        line = _line(row, report)
        if line["kind"] in ("deploy", "rollback"):
            lines.setdefault((row.project_id, row.guest_name), []).append(line)
    return Figures(statistics.together(list(lines.values()), days, end), complete)


def _line(row: Any, report: Mapping[str, Any]) -> dict[str, Any]:
    """A deployment as the statistics want it; a guest may have told anything."""
    stages = report.get("stages")
    lead = report.get("lead")
    reverts = report.get("reverts")
    return {
        "deployment": row.deployment_id,
        "kind": str(report.get("kind") or "deploy"),
        "result": row.result,
        "when": row.started,
        "seconds": row.seconds or 0.0,
        "who": row.who or "unknown",
        "back": report.get("back") is True,
        "lead": _numbers(lead),
        "reverts": [one for one in reverts if isinstance(one, str)] if isinstance(reverts, list) else [],
        "stages": {
            name: float(stage["seconds"])
            for name, stage in (stages.items() if isinstance(stages, dict) else ())
            if isinstance(stage, dict)
            and stage.get("result") is not None
            and isinstance(stage.get("seconds"), (int, float))
        },
    }


def _numbers(told: object) -> dict[str, float]:
    if not isinstance(told, dict):
        return {}
    return {str(key): float(value) for key, value in told.items() if isinstance(value, (int, float))}
