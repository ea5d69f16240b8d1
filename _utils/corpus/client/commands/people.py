"""Who one is: sessions, tokens, and what was asked for."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TextIO

import click

from .. import sessions
from ..api import place
from ..call import Call
from ..errors import WrongUse
from ..frame import command

HEADLINE = "You"
ROLES = ("sysadmin", "owner", "deployer", "viewer")


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


# --- people and keys --------------------------------------------------------------------------------------------------


@command("keys", HEADLINE, ("prod", "Your own"))
@click.option("--owner", help="Whose: their login name.")
def keys(call: Call, owner: str | None) -> None:
    """List your public ssh keys, which let you in wherever you may be."""
    call.out.rows(call.api.get(place("owners", owner or _me(call), "keys")), ("fingerprint", "name", "created:time"))


def _me(call: Call) -> str:
    return str(call.api.get("/me")["name"])


@command(
    "key_add",
    HEADLINE,
    ("prod ~/.ssh/id_ed25519.pub", "What is in a file"),
    ("prod - < key.pub", "From a pipe"),
    changes=True,
)
@click.argument("file", type=click.File("r"))
@click.option("--label", help="What it is called; not set: its own comment.")
@click.option("--owner", help="Whose: their login name.")
def key_add(call: Call, file: TextIO, label: str | None, owner: str | None) -> None:
    """Let the public ssh key in FILE in, on every guest and project where you may be."""
    body = {"public": public_in(file), **({"label": label} if label else {})}
    call.change("POST", place("owners", owner or _me(call), "keys"), body)


def public_in(file: TextIO) -> str:
    """Return the public ssh key in a file.

    :raises WrongUse: it is a private one
    """
    public = file.read().strip()
    if "PRIVATE KEY" in public:
        raise WrongUse(
            "That is a private key, which you must not give to anybody: take the file whose name ends in .pub."
        )
    return public


@command("key_remove", HEADLINE, ("prod SHA256:ZHkbZzbT0xOPeT8bLQeY1R6pNFzm0Fl5JxZpnNf0E9M", ""), changes=True)
@click.argument("key")
@click.option("--owner", help="Whose: their login name.")
def key_remove(call: Call, key: str, owner: str | None) -> None:
    """Let KEY (its fingerprint or name) in no more."""
    call.change("DELETE", place("owners", owner or _me(call), "keys"), query={"key": key})


@command("people", HEADLINE, ("prod", "Who is known"), ("prod ada", "One, with roles and keys"))
@click.argument("name", required=False)
def people(call: Call, name: str | None) -> None:
    """List people; or tell everything of NAME. Who is no sysadmin sees themselves."""
    if name is not None:
        call.out.facts(call.api.get(place("owners", name)))
        return
    call.rows("/owners", ("name", "email", "keys", "roles", "created:time"))


@command("person_create", HEADLINE, ("prod ada --email ada@example.org", ""), changes=True)
@click.argument("name")
@click.option("--email", help="Where they get mails.")
def person_create(call: Call, name: str, email: str | None) -> None:
    """Make NAME known, before they log in for the first time."""
    call.change("POST", "/owners", {"name": name, **({"email": email} if email else {})})


@command("person_email", HEADLINE, ("prod ada ada@example.org", ""), changes=True)
@click.argument("name")
@click.argument("email")
def person_email(call: Call, name: str, email: str) -> None:
    """Let NAME get mails at EMAIL."""
    path = place("owners", name, "email")
    was = call.api.ask("GET", path).headers["ETag"]
    call.change("PUT", path, {"email": email}, headers={"If-Match": was})


@command("person_grant", HEADLINE, ("prod ada viewer", "Ada may look at everything"), changes=True)
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
def person_grant(call: Call, name: str, role: str) -> None:
    """Let NAME be ROLE everywhere; corpus grant gives a role in one project, or on one platform."""
    call.change("POST", place("owners", name, "roles"), {"role": role})


@command("person_revoke", HEADLINE, ("prod ada", "All that Ada is everywhere"), changes=True)
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES), required=False)
def person_revoke(call: Call, name: str, role: str | None) -> None:
    """Take from NAME what they are everywhere, or ROLE alone; what they are in projects stays."""
    call.change("DELETE", place("owners", name, "roles"), query={"role": role})


@command("person_delete", HEADLINE, ("prod ada", "Asks first"), changes=True)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def person_delete(call: Call, name: str, yes: bool) -> None:
    """Forget NAME, who owns nothing any more: keys, roles, tokens."""
    call.confirmed(f"{name} is forgotten with keys, roles and tokens.", name, yes)
    call.change("DELETE", place("owners", name), query={"confirm": name})
