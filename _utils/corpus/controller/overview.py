"""The controller as a whole: whether its parts answer, what there is, what was settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from corpus.controller import operations
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud


def report(cloud: Cloud) -> dict[str, Any]:
    """Return what there is, and which part of the controller does not answer."""
    parts: dict[str, str] = {}
    found: dict[str, Any] = {"nodes": {}, "guests": {}, "projects": 0, "operations": []}
    _try(parts, "registry", lambda: found.update(_counted(cloud)))
    _try(parts, "dns", lambda: _dns(cloud))
    _try(parts, "master", lambda: _minions(cloud, found))
    broken = [f"{part}: {words}" for part, words in parts.items() if words not in ("ok", "not configured")]
    return {
        "result": not broken,
        "retcode": 1 if broken else 0,
        "comment": " ".join(broken) or "Everything answers.",
        "zone": cloud.settings.zone,
        "parts": parts,
        **found,
    }


def resume(cloud: Cloud, operation: str | None = None, test: bool = False) -> dict[str, Any]:
    """Settle what was interrupted; return a report of reports.

    :param operation: uuid of one to settle, also one that failed
    :param test: only tell which those are
    """
    if test:
        left = [one for one in operations.listed(cloud, unfinished=True) if not one["alive"]]
        left = left if operation is None else [operations.looked_up(cloud, operation)]
        words = [f"{one['kind']} ({one['operation']}) would be settled." for one in left]
        return {"result": True, "comment": "\n".join(words) or "Nothing was interrupted.", "operations": left}
    settled = operations.resume(cloud, operation)
    states = {report["operation"]: operations.looked_up(cloud, report["operation"])["state"] for report in settled}
    failed = [report for report in settled if states[report["operation"]] == "failed"]
    words = [f"{report['kind']} of {report['name']}: {report['comment']}" for report in settled]
    return {
        "result": not failed,
        "retcode": 1 if failed else 0,
        "comment": "\n".join(words) or "Nothing was interrupted.",
        "operations": [{**report, "state": states[report["operation"]]} for report in settled],
    }


def _try(parts: dict[str, str], part: str, ask: Callable[[], object]) -> None:
    try:
        answer = ask()
    except CorpusError as err:
        parts[part] = str(err)
    else:
        parts[part] = "not configured" if answer is False else "ok"


def _counted(cloud: Cloud) -> dict[str, Any]:
    from sqlalchemy import func, select

    from corpus.controller.registry import models

    with cloud.registry.reading() as session:
        nodes, guests = (
            {row[0]: row[1] for row in session.execute(select(kind.state, func.count()).group_by(kind.state))}
            for kind in (models.ComputeNode, models.Guest)
        )
        projects = session.scalar(select(func.count()).select_from(models.Project))
    return {
        "nodes": nodes,
        "guests": guests,
        "projects": projects,
        "operations": operations.listed(cloud, unfinished=True),
    }


def _dns(cloud: Cloud) -> bool:
    server = cloud.dns()
    if server is None:
        return False
    if server.zone(cloud.settings.zone) is None:
        raise CorpusError(f"{server.url} does not have the zone {cloud.settings.zone}: mc_controller.init makes it.")
    return True


def _minions(cloud: Cloud, found: dict[str, Any]) -> None:
    accepted = cloud.minions.accepted()
    found["minions"] = len(accepted)
    if not cloud.minions.master_runs():
        raise CorpusError("The master does not run: systemctl start salt-master.")
