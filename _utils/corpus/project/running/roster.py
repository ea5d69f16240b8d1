"""The roster: the processes of a project as they are now, whoever supervises them."""

from __future__ import annotations

import datetime
import time
from typing import Any

import psutil

from corpus.project.layout import Layout
from corpus.project.running import formation, supervision
from corpus.project.running.supervision import Process, Supervisor


def roster(supervisor: Supervisor, layout: Layout) -> list[dict[str, Any]]:
    """Return every process of a project: those that its release should have, and those of others that still finish.

    :returns: mappings with ``type number state pid since memory cpu port release words``: ``since`` in UTC (RFC 3339);
        ``memory`` in bytes and ``cpu`` in percent of one processor since the start, both with all children
    """
    running = layout.running()
    prefix = f"{layout.name}."
    releases = {group.removeprefix(prefix) for group in supervisor.groups() if group.startswith(prefix)}
    if running:
        releases.add(running)
    rows = []
    for release in sorted(releases, key=lambda one: (one != running, one)):
        wanted = formation.specified(layout, release)["processes"]
        up = {process.name: process for process in supervisor.processes(supervision.group_name(layout, release))}
        for name in sorted({*wanted, *up}, key=_by_number):
            process = up.get(name) or Process(name, "MISSING", 0, 0, "not known to the supervisor")
            kind, _, number = name.rpartition(".")
            rows.append(
                {
                    "type": kind,
                    "number": int(number),
                    "state": process.state,
                    "pid": process.pid or None,
                    "since": _when(process.since),
                    **_usage(process.pid),
                    "port": wanted.get(name, {}).get("port"),
                    "release": release,
                    "words": process.words,
                }
            )
    return rows


def _by_number(name: str) -> tuple[bool, str, int]:
    kind, _, number = name.rpartition(".")
    return kind != formation.WEB, kind, int(number)


def _when(since: int) -> str | None:
    if not since:
        return None
    return f"{datetime.datetime.fromtimestamp(since, datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _usage(pid: int) -> dict[str, Any]:
    """Return what a process and its children take."""
    if not pid:
        return {"memory": None, "cpu": None}
    memory, seconds = 0, 0.0
    try:
        first = psutil.Process(pid)
        family = [first, *first.children(recursive=True)]
        age = max(time.time() - first.create_time(), 0.01)
    except psutil.Error:
        return {"memory": None, "cpu": None}
    for process in family:
        try:
            memory += process.memory_info().rss
            seconds += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return {"memory": memory, "cpu": round(100 * seconds / age, 1)}
