"""The figures of projects as text for a terminal (:mod:`corpus.statistics`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: names the structure that holds the figures of projects
SCHEMA = "corpus.statistics/1"

_BLOCKS = "▁▂▃▄▅▆▇█"


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
