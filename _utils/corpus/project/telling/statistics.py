"""How a project is delivered: the four DORA figures (https://dora.dev/guides/dora-metrics/), and seconds by stage.

A deployment counts when it reached users. What was refused never did: it is no deployment and no failure of one, and
is told apart. A deployment failed when it had to be taken back: the next thing that changed what runs was a rollback,
or a push of an older revision, or a later deployment brought a commit that reverts one of its commits. It was restored
when that was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from math import ceil
from statistics import median
from typing import Any

#: names the structure that holds the figures of projects
SCHEMA = "corpus.statistics/1"

_WEEK = timedelta(days=7)
_PEOPLE = 5
_BLOCKS = "▁▂▃▄▅▆▇█"


def figures(lines: Sequence[Mapping[str, Any]], days: float, now: datetime | None = None) -> dict[str, Any]:
    """Return the figures of a project.

    :param lines: of :func:`corpus.project.keeping.history.lines`
    :param days: that are looked back
    :param now: the end of that time; None: this moment
    :returns: see ``docs/concepts/reports.rst``; a figure is None when nothing tells it
    """
    now = now or datetime.now(timezone.utc)
    since = now - timedelta(days=days)
    reached = [line for line in lines if line["result"] and _ended(line) <= now]
    failed = _failed(reached)
    inside = [line for line in reached if _ended(line) >= since]
    deployments = [line for line in inside if line["kind"] == "deploy" and not line.get("back")]
    refused = [
        line for line in lines if line["kind"] == "deploy" and line["result"] is False and since <= _ended(line) <= now
    ]
    lead = _lead(reached, since)
    taken_back = [line for line in deployments if line["deployment"] in failed]
    restores = [failed[line["deployment"]] for line in taken_back]
    return {
        "days": days,
        "deployments": len(deployments),
        "rollbacks": sum(line["kind"] == "rollback" or bool(line.get("back")) for line in inside),
        "refused": len(refused),
        "frequency_per_week": round(len(deployments) / (days / 7), 2),
        "lead_time_seconds": _middle(lead),
        "change_failure_rate": round(len(taken_back) / len(deployments), 4) if deployments else None,
        "time_to_restore_seconds": _middle(restores),
        "refused_rate": round(len(refused) / (len(refused) + len(deployments)), 4) if refused or deployments else None,
        "mend_refused_seconds": _middle(_mended(lines, since, now)),
        "seconds": _spread([line["seconds"] for line in deployments]),
        "stages": _stages(deployments),
        "weeks": _weeks(deployments, refused, since, now),
        "people": [
            {"who": who, "deployments": number}
            for who, number in Counter(line["who"] for line in deployments).most_common(_PEOPLE)
        ],
    }


def _ended(line: Mapping[str, Any]) -> datetime:
    when = datetime.fromisoformat(str(line["when"]).replace("Z", "+00:00"))
    return when + timedelta(seconds=float(line["seconds"]))


def _failed(reached: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the deployments that had to be taken back, with the seconds that it took from the one to the other."""
    found: dict[str, float] = {}
    brought: dict[str, Mapping[str, Any]] = {}
    for before, line in pairwise([None, *reached]):
        assert line is not None
        goes_back = line["kind"] == "rollback" or line.get("back")
        if goes_back and before is not None and before["kind"] == "deploy" and not before.get("back"):
            found.setdefault(before["deployment"], (_ended(line) - _ended(before)).total_seconds())
        for commit in line.get("reverts", ()):
            if (origin := brought.get(commit)) is not None:
                found.setdefault(origin["deployment"], (_ended(line) - _ended(origin)).total_seconds())
        if line["kind"] == "deploy":
            for commit in line.get("lead", ()):
                brought.setdefault(commit, line)
    return found


def _lead(reached: Sequence[Mapping[str, Any]], since: datetime) -> list[float]:
    """Return the seconds from commit to deployment, of each commit the first time that it reached users."""
    seen: set[str] = set()
    found: list[float] = []
    for line in reached:
        for commit, seconds in line.get("lead", {}).items():
            if commit not in seen and line["kind"] == "deploy" and _ended(line) >= since:
                found.append(float(seconds))
            seen.add(commit)
    return found


def _mended(lines: Sequence[Mapping[str, Any]], since: datetime, now: datetime) -> list[float]:
    """Return the seconds from the first refused push of a row to the deployment that got through."""
    found, first = [], None
    for line in lines:
        if line["kind"] != "deploy" or _ended(line) > now:
            continue
        if line["result"] is False:
            first = first or line
        elif first is not None:
            if _ended(line) >= since:
                found.append((_ended(line) - _ended(first)).total_seconds())
            first = None
    return found


def _stages(deployments: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    seconds: dict[str, list[float]] = {}
    for line in deployments:
        for stage, took in line.get("stages", {}).items():
            seconds.setdefault(stage, []).append(float(took))
    return {stage: _spread(values) for stage, values in seconds.items()}


def _weeks(
    deployments: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, Any]], since: datetime, now: datetime
) -> list[dict[str, Any]]:
    """Return the weeks that end now, oldest first, the empty ones too."""
    number = max(1, ceil((now - since) / _WEEK))

    def by_week(lines: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
        weeks: list[list[Mapping[str, Any]]] = [[] for _ in range(number)]
        for line in lines:
            weeks[max(0, number - 1 - int((now - _ended(line)) / _WEEK))].append(line)
        return weeks

    return [
        {
            "from": f"{now - (number - at) * _WEEK:%Y-%m-%d}",
            "deployments": len(good),
            "refused": len(bad),
            "seconds": _spread([line["seconds"] for line in good]),
            "stages": _stages(good),
        }
        for at, (good, bad) in enumerate(zip(by_week(deployments), by_week(refused), strict=True))
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


def table(told: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of projects as text for a terminal."""
    return "\n\n".join("\n".join(_rows(name, about)) for name, about in told.items()) or "There is no project yet."


def _rows(name: str, told: Mapping[str, Any]) -> list[str]:
    weeks = told["weeks"]
    rows = [
        f"{name}, the last {told['days']:g} days",
        (
            f"  deployment frequency  {told['frequency_per_week']:g} a week ({told['deployments']})  "
            f"{sparkline([week['deployments'] for week in weeks])}"
        ),
        f"  lead time             {duration(told['lead_time_seconds'])} from commit to users (median)",
        f"  change failure rate   {_percent(told['change_failure_rate'])} had to be taken back",
        f"  time to restore       {duration(told['time_to_restore_seconds'])} (median)",
        f"  refused pushes        {told['refused']} ({_percent(told['refused_rate'])}), never seen by users",
        f"  time to mend them     {duration(told['mend_refused_seconds'])} (median)",
    ]
    if told["stages"]:
        rows.append(f"  {'stage':<18} {'median':>9} {'p95':>9}  median by week")
        for stage, spread in [("all", told["seconds"]), *told["stages"].items()]:
            line = [
                (week["seconds"] if stage == "all" else week["stages"].get(stage, {})).get("median") for week in weeks
            ]
            rows.append(f"  {stage:<18} {spread['median']:7.2f} s {spread['p95']:7.2f} s  {sparkline(line)}")
    rows += [f"  {person['deployments']:>4} by {person['who']}" for person in told["people"]]
    return rows


def sparkline(values: Sequence[float | None]) -> str:
    """Return numbers as a line of blocks; a gap where there is none."""
    top = max((value for value in values if value), default=0)
    return "".join(
        " " if value is None else _BLOCKS[min(7, int(value / top * 7.999))] if top else _BLOCKS[0] for value in values
    )


def duration(seconds: float | None) -> str:
    """Return a time in the unit that fits."""
    if seconds is None:
        return "unknown"
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _percent(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.0%}"
