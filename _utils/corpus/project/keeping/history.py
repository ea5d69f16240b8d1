"""What was deployed: a record, a log and an account for each deployment, secrets already taken out.

Records, logs and accounts of the last 200 are kept. Of every deployment there ever was a line is kept, for statistics.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import UsageError
from corpus.identifiers import release_id
from corpus.project.layout import Layout

_KEPT = 200


def store(layout: Layout, record: Mapping[str, Any], account: Mapping[str, Any] | None = None) -> None:
    """Keep the record of a deployment; ``record["deployment"]`` is its id. The oldest beyond 200 are dropped.

    :param account: everything that its report tells
    """
    if account is not None:
        layout.reports.mkdir(mode=0o700, exist_ok=True)
        files.write_json(account_path(layout, record["deployment"]), account)
    layout.history.mkdir(mode=0o700, exist_ok=True)
    files.write_json(layout.history / f"{record['deployment']}.json", record)
    for old in _records(layout)[:-_KEPT]:
        old.unlink()
        log_path(layout, old.stem).unlink(missing_ok=True)
        account_path(layout, old.stem).unlink(missing_ok=True)


def account_path(layout: Layout, deployment: str) -> Path:
    """Return where the account of a deployment is kept."""
    return layout.reports / f"{deployment}.json"


def account(layout: Layout, deployment: str | None = None) -> dict[str, Any]:
    """Return the account of a deployment; None: of the last one.

    :raises UsageError: there was no such deployment
    """
    deployment = _last(layout, "report") if deployment is None else release_id(deployment)
    found = files.read_json(account_path(layout, deployment))
    if found is None:
        raise UsageError(f"{layout.name!r} has no report of {deployment}: see mc_project.history {layout.name}.")
    return dict(found)


def count(layout: Layout, line: Mapping[str, Any]) -> None:
    """Keep the line of a deployment for good. Told twice (by a repair), the later counts."""
    layout.statistics.mkdir(mode=0o700, exist_ok=True)
    with open(layout.statistics / f"{line['deployment'][:4]}.jsonl", "ab+", opener=_private) as stream:
        torn = stream.tell() and stream.seek(-1, os.SEEK_END) >= 0 and stream.read(1) != b"\n"
        stream.write((b"\n" if torn else b"") + json.dumps(line, sort_keys=True, default=str).encode() + b"\n")


def lines(layout: Layout) -> list[dict[str, Any]]:
    """Return the lines of all deployments and rollbacks, oldest first; from records those that have none.

    A line that was cut short by a crash is passed over.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(layout.statistics.glob("*.jsonl")):
        for row in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(row)
                found[entry["deployment"]] = entry
    for path in _records(layout):
        entry = files.read_json(path, {}) if path.stem not in found else {}
        if entry.get("kind") in ("deploy", "rollback"):
            stages = {name: stage["seconds"] for name, stage in entry["stages"].items() if stage["result"] is not None}
            found[path.stem] = {**entry, "stages": stages}
    return [found[deployment] for deployment in sorted(found)]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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
        deployment = _last(layout, "log")
    try:
        return log_path(layout, release_id(deployment)).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{layout.name!r} has no log of {deployment}: see mc_project.history {layout.name}.") from None


def _last(layout: Layout, what: str) -> str:
    records = _records(layout)
    if not records:
        raise UsageError(f"{layout.name!r} was never deployed: there is no {what} yet.")
    return records[-1].stem


def _records(layout: Layout) -> list[Path]:
    return sorted(layout.history.glob("*.json"))
