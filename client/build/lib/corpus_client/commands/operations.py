"""Long actions."""

from __future__ import annotations

import click

from ..api import place
from ..call import Call
from ..frame import command

HEADLINE = "Operations"
_COLUMNS = ("operation", "kind", "subject", "state", "who", "created:time", "comment")


@command(
    "operations",
    HEADLINE,
    ("prod", "The last ones that you may see"),
    ("prod --state failed", "Those that failed"),
    ("prod 0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce --follow", "One, until it is over"),
)
@click.argument("operation", required=False)
@click.option("-f", "--follow", is_flag=True, help="Show OPERATION until it is over; its end is the exit status.")
@click.option("--state", type=click.Choice(["planned", "running", "done", "undoing", "undone", "failed"]))
@click.option("--kind", help="Of this kind alone, such as guest.create.")
@click.option("--subject", help="On this alone, such as guest:shop.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
def operations(
    call: Call,
    operation: str | None,
    follow: bool,
    state: str | None,
    kind: str | None,
    subject: str | None,
    limit: int,
) -> None:
    """List operations, newest first; or tell everything of OPERATION, or follow it."""
    if operation is None:
        if follow:
            raise click.UsageError("--follow needs an OPERATION.")
        call.rows("/operations", _COLUMNS, limit, state=state, kind=kind, subject=subject)
        return
    if follow:
        call.awaited(operation)
        return
    found = call.api.get(place("operations", operation))
    if call.out.as_json:
        call.out.json(found)
        return
    steps = found.pop("steps")
    call.out.facts(found)
    call.out.rows(steps, ("name", "state", "seconds:seconds", "message"))


@command(
    "events",
    HEADLINE,
    ("prod", "Everything that you may see, as it happens"),
    ("prod --project shop --json", "What happens to a project, one JSON object a line"),
)
@click.option("--project", help="Of this project alone.")
@click.option("--guest", help="Of this guest alone.")
def events(call: Call, project: str | None, guest: str | None) -> None:
    """Show what happens, until Ctrl-C: operations' steps, deployments' stages."""
    for event in call.api.events("/events", project=project, guest=guest):
        told = event.data
        if call.out.as_json:
            call.out.json_line({"id": event.id, "kind": event.kind, **told})
            continue
        words = (told.get(key) for key in ("name", "what", "state", "line", "message"))
        about = told.get("subject") or ""
        call.out.line(f"{event.kind:<18} {about:<24} {' '.join(str(word) for word in words if word)}")
