"""Guests."""

from __future__ import annotations

import click

from ..api import place
from ..call import Call
from ..errors import WrongUse
from ..frame import command

HEADLINE = "Guests"
_COLUMNS = ("name", "state", "node", "address", "ssh_host", "ssh_port", "names", "projects")


@command("guests", HEADLINE, ("prod", "Those that you may see"), ("prod --node node1 --json", "Of one node, as JSON"))
@click.argument("guest", required=False)
@click.option("--node", help="On this compute node alone.")
def guests(call: Call, guest: str | None, node: str | None) -> None:
    """List the guests; or tell everything of GUEST."""
    if guest is not None:
        call.out.facts(call.api.get(place("guests", guest)))
        return
    call.rows("/guests", _COLUMNS, node=node)


@command(
    "guest_create",
    HEADLINE,
    ("prod shop --platform 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "A guest on a platform"),
    ("prod shop --size 10G --project shop", "A larger one, where a project shall be pushed"),
    ("prod shop --plan", "What that would do"),
    changes=True,
)
@click.argument("guest")
@click.option("--platform", help="Uuid of a platform; not needed by who has one alone.")
@click.option("--size", default="5G", show_default=True, help="What it may store.")
@click.option("--project", help="A project that shall be pushed there.")
def guest_create(call: Call, guest: str, platform: str | None, size: str, project: str | None) -> None:
    """Create the guest GUEST, to push projects onto, and print its id."""
    body = {"name": guest, "platform": platform or _only_platform(call), "size": size, "project": project}
    given = {key: value for key, value in body.items() if value is not None}
    call.change("POST", "/guests", given, lambda facts: _id(facts) or guest)


def _id(facts: object) -> str | None:
    told = facts.get("guest") if isinstance(facts, dict) else None
    return str(told["name"]) if isinstance(told, dict) and told.get("name") else None


def _only_platform(call: Call) -> str:
    """The uuid of the one platform that a person has.

    :raises WrongUse: there is none, or more than one
    """
    found = list(call.api.listed("/platforms", 2))
    if len(found) == 1:
        return str(found[0]["uuid"])
    raise WrongUse(
        "You have no platform to put a guest on: an owner of one lets you in."
        if not found
        else f"You have more than one platform: say which by --platform (corpus platforms {call.endpoint.nickname})."
    )


def _doing(verb: str, what: str) -> None:
    @command(f"guest_{verb}", HEADLINE, ("prod shop", ""), changes=True, what=what)
    @click.argument("guest")
    def do(call: Call, guest: str) -> None:
        call.change("POST", place("guests", guest, verb))


_doing("start", "Start GUEST; it starts with its node from now on.")
_doing("stop", "Stop GUEST; it stays stopped when its node starts again.")
_doing("restart", "Stop GUEST and start it again.")
