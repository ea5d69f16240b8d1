"""How projects are delivered: the four DORA figures (https://dora.dev/guides/dora-metrics/), and seconds by stage.

A deployment counts when it reached users. What was refused never did: it is no deployment and no failure of one, and
is told apart. A deployment failed when it had to be taken back: the next thing that changed what runs was a rollback,
or a push of an older revision, or a later deployment brought a commit that reverts one of its commits. It was restored
when that was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any, TypeVar

_WEEK = timedelta(days=7)
_PEOPLE = 5

Line = Mapping[str, Any]
Timed = TypeVar("Timed")

#: Stages as a deployment goes through them, in both its reports and its figures; JSON with sorted keys has lost that.
ORDER = (
    "archive",
    "initialization",
    "release_sync",
    "configure",
    "build",
    "reconfigure",
    "tests",
    "activate",
    "upgrade",
    "switch",
    "bundle",
    "post_install",
    "rollback",
    "notify",
)


def place(stage: str) -> int:
    """Where a stage stands among the others; one that is not known comes last."""
    return ORDER.index(stage) if stage in ORDER else len(ORDER)


def figures(lines: Sequence[Line], days: float, now: datetime | None = None) -> dict[str, Any]:
    """Return the figures of one project on one machine.

    :param lines: of its deployments and rollbacks, the oldest first: ``deployment kind result when seconds who``, and where
        they are known ``back lead reverts stages``; see ``docs/concepts/reports.rst``
    :param days: that are looked back
    :param now: the end of that time; None: this moment
    :returns: see ``docs/concepts/reports.rst``; a figure is None when nothing tells it
    """
    return together([lines], days, now)


def together(places: Iterable[Sequence[Line]], days: float, now: datetime | None = None) -> dict[str, Any]:
    """Return the figures of several projects or machines together.

    :param places: the lines of each project on each machine; see :func:`figures`
    """
    now = now or datetime.now(timezone.utc)
    since = now - timedelta(days=days)
    told = _Told()
    for lines in places:
        told.add(lines, since, now)
    deployments, refused = [line for _, line in told.deployments], [line for _, line in told.refused]
    return {
        "days": days,
        "deployments": len(deployments),
        "rollbacks": told.rollbacks,
        "refused": len(refused),
        "frequency_per_week": round(len(deployments) / (days / 7), 2),
        **_quality(told.deployments, told.lead, told.restores),
        "refused_rate": round(len(refused) / (len(refused) + len(deployments)), 4) if refused or deployments else None,
        "mend_refused_seconds": _middle(told.mended),
        "seconds": _spread([line["seconds"] for line in deployments]),
        "stages": _stages(deployments),
        "weeks": _weeks(told, since, now),
        "people": [
            {"who": who, "deployments": number}
            for who, number in Counter(line["who"] for line in deployments).most_common(_PEOPLE)
        ],
    }


@dataclass
class _Told:
    """What lines tell of a time, each with the moment when it was over.

    :param restores: of deployments that were taken back: when they reached users, and seconds until that was done
    :param lead: seconds from commit to users
    """

    deployments: list[tuple[datetime, Line]] = field(default_factory=list)
    refused: list[tuple[datetime, Line]] = field(default_factory=list)
    lead: list[tuple[datetime, float]] = field(default_factory=list)
    restores: list[tuple[datetime, float]] = field(default_factory=list)
    mended: list[float] = field(default_factory=list)
    rollbacks: int = 0

    def add(self, lines: Sequence[Line], since: datetime, now: datetime) -> None:
        """Take over what the lines of one place tell."""
        lines = [{**line, "ended": _end(line)} for line in lines]
        reached = [line for line in lines if line["result"] and line["ended"] <= now]
        failed = _failed(reached)
        for line in reached:
            ended = line["ended"]
            if ended < since:
                continue
            if line["kind"] == "rollback" or line.get("back"):
                self.rollbacks += 1
            elif line["kind"] == "deploy":
                self.deployments.append((ended, line))
                if line["deployment"] in failed:
                    self.restores.append((ended, failed[line["deployment"]]))
        for line in lines:
            if line["kind"] == "deploy" and line["result"] is False and since <= line["ended"] <= now:
                self.refused.append((line["ended"], line))
        self.lead += _lead(reached, since)
        self.mended += _mended(lines, since, now)


def _quality(
    deployments: Sequence[object], lead: Sequence[tuple[datetime, float]], restores: Sequence[tuple[datetime, float]]
) -> dict[str, float | None]:
    return {
        "lead_time_seconds": _middle([seconds for _, seconds in lead]),
        "change_failure_rate": round(len(restores) / len(deployments), 4) if deployments else None,
        "time_to_restore_seconds": _middle([seconds for _, seconds in restores]),
    }


def _end(line: Line) -> datetime:
    when = line["when"]
    if not isinstance(when, datetime):
        when = datetime.fromisoformat(str(when).replace("Z", "+00:00"))
    return when + timedelta(seconds=float(line["seconds"]))


def _failed(reached: Sequence[Line]) -> dict[str, float]:
    """Return the deployments that had to be taken back, with the seconds that it took from the one to the other."""
    found: dict[str, float] = {}
    brought: dict[str, Line] = {}
    for before, line in pairwise([None, *reached]):
        assert line is not None
        goes_back = line["kind"] == "rollback" or line.get("back")
        if goes_back and before is not None and before["kind"] == "deploy" and not before.get("back"):
            found.setdefault(before["deployment"], (line["ended"] - before["ended"]).total_seconds())
        for commit in line.get("reverts", ()):
            if (origin := brought.get(commit)) is not None:
                found.setdefault(origin["deployment"], (line["ended"] - origin["ended"]).total_seconds())
        if line["kind"] == "deploy":
            for commit in line.get("lead", ()):
                brought.setdefault(commit, line)
    return found


def _lead(reached: Sequence[Line], since: datetime) -> list[tuple[datetime, float]]:
    """Return the seconds from commit to deployment, of each commit the first time that it reached users, and when."""
    seen: set[str] = set()
    found: list[tuple[datetime, float]] = []
    for line in reached:
        for commit, seconds in line.get("lead", {}).items():
            if commit not in seen and line["kind"] == "deploy" and line["ended"] >= since:
                found.append((line["ended"], float(seconds)))
            seen.add(commit)
    return found


def _mended(lines: Sequence[Line], since: datetime, now: datetime) -> list[float]:
    """Return the seconds from the first refused push of a row to the deployment that got through."""
    found, first = [], None
    for line in lines:
        if line["kind"] != "deploy" or line["ended"] > now:
            continue
        if line["result"] is False:
            first = first or line
        elif first is not None:
            if line["ended"] >= since:
                found.append((line["ended"] - first["ended"]).total_seconds())
            first = None
    return found


def _stages(deployments: Iterable[Line]) -> dict[str, dict[str, Any]]:
    seconds: dict[str, list[float]] = {}
    for line in deployments:
        for stage, took in line.get("stages", {}).items():
            seconds.setdefault(stage, []).append(float(took))
    return {stage: _spread(values) for stage, values in seconds.items()}


def _weeks(told: _Told, since: datetime, now: datetime) -> list[dict[str, Any]]:
    """Return the weeks that end now, oldest first, the empty ones too."""
    number = max(1, ceil((now - since) / _WEEK))

    def by_week(timed: Sequence[tuple[datetime, Timed]]) -> list[list[tuple[datetime, Timed]]]:
        weeks: list[list[tuple[datetime, Timed]]] = [[] for _ in range(number)]
        for one in timed:
            weeks[max(0, number - 1 - int((now - one[0]) / _WEEK))].append(one)
        return weeks

    parts = zip(
        by_week(told.deployments), by_week(told.refused), by_week(told.lead), by_week(told.restores), strict=True
    )
    return [
        {
            "from": f"{now - (number - at) * _WEEK:%Y-%m-%d}",
            "deployments": len(good),
            "refused": len(bad),
            **_quality(good, lead, restores),
            "seconds": _spread([line["seconds"] for _, line in good]),
            "stages": _stages(line for _, line in good),
        }
        for at, (good, bad, lead, restores) in enumerate(parts)
    ]


def _spread(values: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "median": _middle(ordered),
        "p95": round(ordered[ceil(len(ordered) * 0.95) - 1], 3) if ordered else None,
    }


def _middle(values: Sequence[float]) -> float | None:
    return round(median(values), 3) if values else None
