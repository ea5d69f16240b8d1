"""What was deployed: one record and one log for each deployment, secrets already taken out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import UsageError
from corpus.identifiers import release_id
from corpus.project.layout import Layout

_KEPT = 200


def store(layout: Layout, record: Mapping[str, Any]) -> None:
    """Keep the record of a deployment; ``record["deployment"]`` is its id. The oldest beyond 200 are dropped."""
    layout.history.mkdir(mode=0o700, exist_ok=True)
    files.write_json(layout.history / f"{record['deployment']}.json", record)
    for old in _records(layout)[:-_KEPT]:
        old.unlink()
        log_path(layout, old.stem).unlink(missing_ok=True)


def listing(layout: Layout, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the records, newest first.

    :param limit: how many at most; None: all
    """
    found = (files.read_json(path) for path in reversed(_records(layout)))
    kept = [entry for entry in found if entry is not None]  # one may be dropped while we read
    return kept[:limit]


def record(layout: Layout, deployment: str) -> dict[str, Any]:
    """Return one record.

    :raises UsageError: there was no such deployment
    """
    found = files.read_json(layout.history / f"{release_id(deployment)}.json")
    if found is None:
        raise UsageError(f"{layout.name!r} has no deployment {deployment}: see mc_project.history {layout.name}.")
    return dict(found)


def log_path(layout: Layout, deployment: str) -> Path:
    """Return where the log of a deployment is written."""
    return layout.deployment_logs / f"{deployment}.log"


def log(layout: Layout, deployment: str | None = None) -> str:
    """Return the log of a deployment; None: of the last one.

    :raises UsageError: there was no such deployment
    """
    if deployment is None:
        records = _records(layout)
        if not records:
            raise UsageError(f"{layout.name!r} was never deployed: there is no log yet.")
        deployment = records[-1].stem
    try:
        return log_path(layout, release_id(deployment)).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{layout.name!r} has no log of {deployment}: see mc_project.history {layout.name}.") from None


def _records(layout: Layout) -> list[Path]:
    return sorted(layout.history.glob("*.json"))
