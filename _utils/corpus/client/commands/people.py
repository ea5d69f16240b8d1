"""Who one is: sessions, tokens, and what was asked for."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import click

from .. import sessions
from ..api import place
from ..call import Call
from ..frame import command

HEADLINE = "You"


@command("login", HEADLINE, ("prod", "Log in, and stay so until the session expires"))
def login(call: Call) -> None:
    """Log in, even when a session is kept."""
    session = call.api.log_in()
    if call.out.as_json:
        call.out.json({"id": session.id, "expires": session.expires.isoformat()})
    else:
        call.out.say(f"{session.id} is logged in to {call.endpoint.nickname} until {session.expires.astimezone():%c}.")


@command("logout", HEADLINE, ("prod", "End the session, here and there"))
def logout(call: Call) -> None:
    """End the session that is kept."""
    was = call.api.log_out()
    if call.out.as_json:
        call.out.json({"ended": was})
    else:
        call.out.say("Logged out." if was else f"Nobody was logged in to {call.endpoint.nickname}.")


@command("whoami", HEADLINE, ("prod", "Who one is there"))
def whoami(call: Call) -> None:
    """Tell who you are to the service, and until when."""
    me = call.api.get("/me")
    session = sessions.kept(call.endpoint)
    if session is not None and me.get("kind") == "session":
        me["expires"] = session.expires.isoformat()
    call.out.facts(me)


# --- tokens -----------------------------------------------------------------------------------------------------------


@command("tokens", HEADLINE, ("prod", "What is good for something"))
@click.option("--owner", help="Whose; sysadmins may ask for anybody's.")
def tokens(call: Call, owner: str | None) -> None:
    """List your sessions and personal access tokens."""
    columns = ("uuid", "kind", "name", "scopes", "created:time", "expires:time", "used:time", "current")
    call.rows("/tokens", columns, owner=owner)


@command(
    "token_create",
    HEADLINE,
    ("prod ci read project.push --days 30", "For a machine that looks and pushes"),
    ("prod laptop", "One that may all that you may"),
)
@click.argument("name")
@click.argument("scopes", nargs=-1)
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="For which it is good.")
def token_create(call: Call, name: str, scopes: Sequence[str], days: int) -> None:
    """Make the personal access token NAME, and print it: it is shown this one time.

    SCOPES are read, nouns such as guest, and actions such as project.push; none: all that you may.
    """
    made = call.api.ask("POST", "/tokens", {"name": name, "scopes": list(scopes), "days": days}).json()
    if call.out.as_json:
        call.out.json(made)
        return
    call.out.say(f"{name} is good until {made['expires']}; revoke it: corpus token_revoke … {made['uuid']}")
    call.out.line(made["token"])


@command("token_revoke", HEADLINE, ("prod 0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce", ""))
@click.argument("uuid")
def token_revoke(call: Call, uuid: str) -> None:
    """Revoke the session or token UUID: it is good for nothing any more."""
    call.change("DELETE", place("tokens", uuid))


@command(
    "audit",
    HEADLINE,
    ("prod", "What you asked for"),
    ("prod --subject guest:shop --since 2026-11-01", "What was asked for a guest"),
)
@click.option("--who", help="Whose requests alone.")
@click.option("--action", help="An action such as guest.create, or a noun.")
@click.option("--subject", help="On this alone, such as guest:shop.")
@click.option("--operation", help="That began this operation.")
@click.option("--since", type=click.DateTime(), help="From this moment on, by your clock.")
@click.option("--until", type=click.DateTime(), help="Before this moment.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
def audit(
    call: Call, limit: int, since: datetime.datetime | None, until: datetime.datetime | None, **wanted: str | None
) -> None:
    """List who asked for what, newest first: your own requests; sysadmins see everybody's."""
    moments = {"since": since, "until": until}
    told = {key: moment.astimezone().isoformat() for key, moment in moments.items() if moment is not None}
    columns = ("at:time", "who", "action", "subject", "status", "address", "operation", "detail")
    call.out.rows(call.api.listed("/audit", limit, **told, **wanted), columns)
