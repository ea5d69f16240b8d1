"""The account of a deployment: everything that its report tells, as plain values, redacted and bounded in size.

It is written when a deployment ends, and every form of the report (text, page, JSON, a line at the end of a push) is
made from it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import corpus
from corpus.project.changes.commits import Commit
from corpus.project.changes.packages import PackageChange
from corpus.project.sls import StateResult
from corpus.project.telling.report import Report, StageReport
from corpus.secrets import Redactor

#: names the structure; the number grows when a field changes its meaning or goes
SCHEMA = "corpus.report/1"

_COMMITS, _FILES, _PACKAGES, _STATES, _NOTES = 100, 200, 300, 200, 50
_LINE, _TEXT = 400, 4000
_NAMED = 3  # packages in the summary

Item = TypeVar("Item")


def account(report: Report, redactor: Redactor) -> dict[str, Any]:
    """Return the account of a deployment. The reference of its fields is in ``docs/concepts/reports.rst``."""
    told: dict[str, Any] = redactor.tree(
        {
            "schema": SCHEMA,
            "corpus": corpus.__version__,
            "machine": socket.gethostname(),
            "name": report.name,
            "deployment": report.deployment,
            "kind": report.kind,
            # not "result": Salt would take the answer of who asks for a failed deployment for a failure
            "succeeded": report.result,
            "comment": _cut(report.comment, _TEXT),
            "summary": summary(report),
            "notes": [_cut(note) for note in report.notes[:_NOTES]],
            "who": report.who,
            "when": report.when,
            "seconds": round(report.seconds, 3),
            "mode": report.mode,
            "strategy": report.strategy,
            "release": report.release,
            "previous": report.previous,
            "revision": report.revision,
            "previous_revision": report.before,
            "url": report.url,
            "stages": [_stage(stage) for stage in report.stages],
            "tests": _tests(report),
            "commits": _commits(report),
            "files": _files(report),
            "packages": _packages(report.packages),
            "services": None if report.services is None else [asdict(change) for change in report.services],
        }
    )
    return told


def _stage(stage: StageReport) -> dict[str, Any]:
    # What failed and what changed is worth more than what is as it was, when there is not room for all.
    ranked = sorted(stage.states, key=lambda state: (state.result is not False, not state.changes))[:_STATES]
    shown = [state for state in stage.states if state in ranked]
    return {
        "stage": stage.stage,
        "result": stage.result,
        "began": round(stage.began, 3),
        "seconds": round(stage.seconds, 3),
        "comment": _cut(stage.comment, _TEXT),
        "changed": len(stage.changed),
        "total": len(stage.states),
        "states": [_state(state) for state in shown],
        "excerpt": [_cut(line) for line in stage.excerpt],
    }


def _state(state: StateResult) -> dict[str, Any]:
    return {
        "id": _cut(state.id, 200),
        "function": _cut(state.function, 100),
        "name": _cut(state.name, 200),
        "result": state.result,
        "seconds": round(state.seconds, 3),
        "changes": changes_in_words(state.changes),
        "comment": _cut(state.comment.strip(), _TEXT if state.result is False else _LINE),
    }


def changes_in_words(changes: Any) -> str:
    """Return what a state changed in a line: of files how many lines, never which."""
    if not changes:
        return ""
    if not isinstance(changes, Mapping):
        return _cut(_one_line(changes))
    if set(changes) == {"old", "new"}:
        return _change(changes)
    words = []
    for key, value in changes.items():
        if key == "diff" and isinstance(value, str):
            words.append(_lines_of_diff(value))
        elif key in ("stdout", "stderr") and isinstance(value, str):
            words += [f"{key}: {len(value.splitlines())} lines"] if value.strip() else []
        elif key != "pid":
            told = _change(value) if isinstance(value, Mapping) and set(value) == {"old", "new"} else _one_line(value)
            words.append(f"{key}: {told}")
    return _cut("; ".join(words))


def _change(change: Mapping[str, Any]) -> str:
    old, new = _one_line(change["old"]), _one_line(change["new"])
    return _cut(f"{old or 'nothing'} → {new or 'nothing'}", 200)


def _lines_of_diff(diff: str) -> str:
    rows = diff.splitlines()
    added = sum(row.startswith("+") and not row.startswith("+++ ") for row in rows)
    removed = sum(row.startswith("-") and not row.startswith("--- ") for row in rows)
    return f"+{added} -{removed} lines" if added or removed else _cut(_one_line(diff), 100)


def _tests(report: Report) -> dict[str, Any] | None:
    tests = report.tests
    if tests is None:
        return None
    told = asdict(tests)
    return {
        **told,
        "good": tests.good,
        "words": tests.words,
        "slowest": [{"name": name, "seconds": round(seconds, 3)} for name, seconds in tests.slowest],
        "problems": [_cut(problem) for problem in tests.problems[:20]],
    }


def _commits(report: Report) -> dict[str, Any] | None:
    commits = report.commits
    if commits is None:
        return None
    return {
        "total": len(commits.brought),
        "left": len(commits.left),
        "more": commits.more,
        "first": commits.first,
        "rewritten": commits.rewritten,
        "list": [_commit(commit) for commit in commits.brought[:_COMMITS]],
        "left_list": [_commit(commit) for commit in commits.left[:_COMMITS]],
    }


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "revision": commit.revision,
        "time": commit.time,
        "author": commit.author,
        "subject": commit.subject,
        "reverts": commit.reverts,
    }


def _files(report: Report) -> dict[str, Any] | None:
    changes = report.files
    if changes is None:
        return None
    kinds = [change.change for change in changes.files]
    lines = [change.lines for change in changes.files if change.lines]
    return {
        **{kind: kinds.count(kind) for kind in ("added", "changed", "removed", "renamed")},
        "total": changes.total,
        "lines_added": sum(added for added, _ in lines),
        "lines_removed": sum(removed for _, removed in lines),
        "complete": changes.complete,
        "list": [{**asdict(change), "path": _cut(change.path)} for change in changes.files[:_FILES]],
    }


def _packages(packages: Sequence[PackageChange] | None) -> dict[str, Any] | None:
    if packages is None:
        return None
    return {
        "added": sum(change.old is None for change in packages),
        "changed": sum(change.old is not None and change.new is not None for change in packages),
        "removed": sum(change.new is None for change in packages),
        "list": [asdict(change) for change in packages[:_PACKAGES]],
    }


def summary(report: Report) -> str:
    """Return what a deployment brought, in one line; empty when nothing is known of it."""
    parts = [", ".join(part for part in (_commits_in_words(report), _files_in_words(report)) if part)]
    if report.packages:
        parts.append(f"packages: {_packages_in_words(report.packages, first=report.previous is None)}")
    if report.services and report.previous is not None:
        words = [
            f"+{change.type}" if change.old is None else f"-{change.type}" if change.new is None else change.type
            for change in report.services
        ]
        parts.append(f"services: {', '.join(words)}")
    if report.tests:
        parts.append(f"tests: {report.tests.words}")
    return "; ".join(part for part in parts if part)


def _commits_in_words(report: Report) -> str:
    commits = report.commits
    if commits is None:
        return ""
    brought, left = len(commits.brought), len(commits.left)
    words = f"{'more than ' if commits.more else ''}{_many(brought, 'commit')}"
    if commits.first:
        return f"{'first deployment: ' if report.previous is None else ''}{words}"
    if commits.rewritten:
        return f"{words} in the place of {left} (history was rewritten)"
    if left:
        return f"{_many(left, 'commit')} back"
    return words if brought else "no new commit"


def _files_in_words(report: Report) -> str:
    changes = report.files
    if changes is None:
        return ""
    if changes.total is not None:
        return _many(changes.total, "file")
    if not changes.files:
        return "no file changed"
    lines = [change.lines for change in changes.files if change.lines]
    added, removed = sum(line[0] for line in lines), sum(line[1] for line in lines)
    return f"{_many(len(changes.files), 'file')} changed" + (f" (+{added} -{removed})" if lines else "")


def _packages_in_words(packages: Sequence[PackageChange], first: bool) -> str:
    if first:
        return f"{len(packages)} installed"
    words = [
        f"+{change.name} {change.new}"
        if change.old is None
        else f"-{change.name} {change.old}"
        if change.new is None
        else f"{change.name} {change.old} → {change.new}"
        for change in sorted(packages, key=lambda change: change.old is None)[:_NAMED]
    ]
    more = len(packages) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _one_line(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_one_line(inner)}" for key, inner in list(value.items())[:20])
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_one_line, value[:20]))
    return " ".join(str(value).split()) if value is not None else ""


def _cut(text: str, limit: int = _LINE) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def failed_first(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return stages or states of an account in their order, those that failed before all others."""
    return sorted(items, key=lambda item: item["result"] is not False)
