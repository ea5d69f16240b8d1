"""An operation, followed: its steps as they are taken, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from .api import Api, place
from .output import Output, harmless

UNFINISHED = ("planned", "running", "undoing")
_MARKS = {
    "done": ("ok", "green"),
    "skipped": ("-", "dim"),
    "undone": ("undone", "yellow"),
    "failed": ("FAILED", "red"),
}


def follow(api: Api, out: Output, operation: str) -> dict[str, Any]:
    """Show an operation until it is over; return it.

    :param operation: its uuid
    """
    path = place("operations", operation)
    found: dict[str, Any] = api.get(path)
    if found["state"] not in UNFINISHED:
        for step in found["steps"]:
            _step(out, step)
        return found

    def over() -> bool:
        nonlocal found
        found = api.get(path)
        return found["state"] not in UNFINISHED

    with _bar(out, found) as bar:
        for event in api.events(f"{path}/events", over):
            if event.kind == "operation.end":
                break
            _tell(out, bar, event.kind, event.data)
    found = api.get(path)
    return found


def _bar(out: Output, operation: Mapping[str, Any]) -> AbstractContextManager[Progress | None]:
    """A bar, where there is somebody to see it."""
    if out.as_json or not sys.stderr.isatty():
        return nullcontext()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    made = Progress(*columns, console=out.err, transient=True)
    waits = "waits for the master" if operation["state"] == "planned" else str(operation["kind"])
    made.add_task(waits, total=len(operation["steps"]) or None)
    return made


def _tell(out: Output, bar: Progress | None, kind: str, data: Mapping[str, Any]) -> None:
    if kind == "operation.says":
        if not out.as_json:
            out.say(f"       {data.get('line', '')}", "dim")
        return
    if kind != "operation.step":
        return
    name, state = harmless(str(data.get("name", ""))), str(data.get("state", ""))
    if bar is not None:
        task = bar.task_ids[0]
        if state in ("running", "undoing"):
            bar.update(task, description=f"undo: {name}" if state == "undoing" else name)
        elif state in ("done", "skipped"):
            bar.advance(task)
    _step(out, data)


def _step(out: Output, step: Mapping[str, Any]) -> None:
    """Tell of a step that was taken."""
    mark = _MARKS.get(str(step.get("state")))
    if mark is None or out.as_json:
        return
    message = harmless(str(step.get("message") or "")).strip()
    name, seconds = harmless(str(step.get("name", ""))), float(step.get("seconds") or 0)
    took = f"{seconds:7.1f} s" if step.get("state") != "skipped" else " " * 9
    out.err.print(Text.assemble((f"{mark[0]:>6}", mark[1]), f" {name:<36} {took}  {message}"), soft_wrap=True)
