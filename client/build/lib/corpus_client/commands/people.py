"""Who one is: sessions."""

from __future__ import annotations

from .. import sessions
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
