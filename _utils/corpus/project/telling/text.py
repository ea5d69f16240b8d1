"""An account as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from corpus.project.telling.account import failed_first

_MARKS = {True: "ok", False: "FAILED", None: "-"}
_BAR = 24
_SHOWN = 15


def text(account: Mapping[str, Any]) -> str:
    """Return the report: what failed first, then the time line, then what changed."""
    return "\n".join(line.rstrip() for line in _lines(account)) + "\n"


def _lines(account: Mapping[str, Any]) -> Iterator[str]:
    result = "success" if account["succeeded"] else "FAILURE"
    yield f"{account['name']}: {account['kind']} {account['deployment']}: {result}"
    yield account["comment"]
    if account["summary"]:
        yield account["summary"]
    yield from (f"note: {note}" for note in account["notes"])
    yield ""
    for label, key in (("revision", "revision"), ("before", "previous_revision"), ("by", "who"), ("at", "when")):
        yield f"  {label:<10} {account[key] or '-'}"
    for label, key in (("mode", "mode"), ("release", "release"), ("strategy", "strategy"), ("url", "url")):
        if account[key]:
            yield f"  {label:<10} {account[key]}"
    yield f"  {'took':<10} {account['seconds']:.1f} s"
    for stage in failed_first(account["stages"]):
        if stage["result"] is False:
            yield from _failure(stage)
    if account["tests"]:
        yield from _tests(account["tests"])
    yield from _timeline(account)
    yield from _changes(account)


def _failure(stage: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"FAILED: {stage['stage']}"
    yield from (f"  {row}" for row in stage["comment"].splitlines())
    yield from (f"  | {row}" for row in stage["excerpt"])


def _tests(tests: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"Tests: {tests['words']} in {tests['seconds']:.1f} s"
    for failure in tests["failures"]:
        yield f"  {failure['kind'].upper()} {failure['where']} {failure['name']}: {failure['message']}"
        yield from (f"    | {row}" for row in failure["excerpt"].splitlines()[-6:])


def _timeline(account: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "Stages"
    whole = max(account["seconds"], 0.001)
    for stage in account["stages"]:
        if stage["result"] is None:
            yield f"  {'-':<6} {stage['stage']:<15} {'':>10}  {stage['comment']}"
            continue
        start = min(round(stage["began"] / whole * _BAR), _BAR - 1)
        bar = " " * start + "█" * max(1, round(stage["seconds"] / whole * _BAR))
        words = stage["comment"].splitlines()[0] if stage["comment"] else ""
        yield f"  {_MARKS[stage['result']]:<6} {stage['stage']:<15} {stage['seconds']:8.2f} s  {bar[:_BAR]:<{_BAR}}  {words}"


def _changes(account: Mapping[str, Any]) -> Iterator[str]:
    commits, files, packages = account["commits"], account["files"], account["packages"]
    if commits and (commits["list"] or commits["left_list"]):
        yield ""
        yield "Commits"
        rows = [_commit(commit, "") for commit in commits["list"]]
        rows += [_commit(commit, "taken back: ") for commit in commits["left_list"]]
        yield from _some(rows, commits["total"] + commits["left"])
    if files and files["list"]:
        yield ""
        yield "Files" if files["complete"] else "Files (there are too many to compare all)"
        rows = [_file(change) for change in files["list"]]
        yield from _some(rows, sum(files[kind] for kind in ("added", "changed", "removed", "renamed")))
    if packages and packages["list"]:
        yield ""
        yield "Packages"
        rows = [f"{c['kind']:<9} {c['name']} {c['old'] or 'new'} → {c['new'] or 'gone'}" for c in packages["list"]]
        yield from _some(rows, packages["added"] + packages["changed"] + packages["removed"])
    if account["services"]:
        yield ""
        yield "Services"
        for change in account["services"]:
            yield f"  {change['type']}: {_service(change['old'])} → {_service(change['new'])}"


def _some(rows: list[str], total: int) -> Iterator[str]:
    yield from (f"  {row}" for row in rows[:_SHOWN])
    if total > _SHOWN:
        yield f"  and {total - min(len(rows), _SHOWN)} more (format=html shows more)"


def _commit(commit: Mapping[str, Any], mark: str) -> str:
    return f"{commit['revision'][:10]} {commit['author']}: {mark}{commit['subject']}"


def _file(change: Mapping[str, Any]) -> str:
    lines = f"  +{change['lines'][0]} -{change['lines'][1]}" if change["lines"] else ""
    name = f"{change['before']} → {change['path']}" if change["before"] else change["path"]
    return f"{change['change']:<8} {name}{lines}{' (built)' if change['built'] else ''}"


def _service(service: Mapping[str, Any] | None) -> str:
    return f"{service['count']} × {service['command']}" if service else "none"  # noqa: RUF001 - a multiplication sign
