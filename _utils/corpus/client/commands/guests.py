"""Guests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from ..api import place
from ..call import Call
from ..errors import ClientError, NotThere, WrongUse
from ..frame import command

HEADLINE = "Guests"
_COLUMNS = ("name", "state", "node", "address", "ssh_host", "ssh_port", "names", "projects")
_UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
#: What storage grows and shrinks by.
_STEP = "5G"


@command(
    "guests",
    HEADLINE,
    ("prod", "Those that you may see"),
    ("prod shop", "Everything about one"),
    ("prod --node node1 --json", "Of one node, as JSON"),
)
@click.argument("guest", required=False)
@click.option("--node", help="On this compute node alone.")
@click.option("--platform", help="On this platform alone.")
@click.option("--project", help="With this project alone.")
@click.option("--state", help="In this state alone: running, stopped, failed, ….")
@click.option("--live", is_flag=True, help="Ask GUEST's node now, too.")
def guests(call: Call, guest: str | None, live: bool, **wanted: Any) -> None:
    """List the guests; or tell everything of GUEST."""
    if guest is not None:
        call.out.facts(call.api.get(place("guests", guest), live="true" if live else None))
        return
    call.rows("/guests", _COLUMNS, **wanted)


@command(
    "guest_create",
    HEADLINE,
    ("prod shop", "A guest, on the one platform that you have"),
    (f"prod shop --platform {_UUID}", "On another one"),
    ("prod shop --size 10G --project shop", "A larger one, where a project shall be pushed"),
    ("prod shop --plan", "What that would do"),
    changes=True,
)
@click.argument("guest")
@click.option("--platform", help="Uuid of a platform; not needed by who has one alone.")
@click.option("--size", default="5G", show_default=True, help="What it may store.")
@click.option("--memory", help="What it may use, such as 512M; not set: all of its node's.")
@click.option("--cpus", type=float, help="Of how many processors it may use the time.")
@click.option("--image", help="That it is cloned from.")
@click.option("--owner", help="Whose it is: their login name.")
@click.option("--project", help="A project that shall be pushed there.")
def guest_create(call: Call, guest: str, platform: str | None, **more: Any) -> None:
    """Create the guest GUEST, to push projects onto, and print its id."""
    given = {key: value for key, value in more.items() if value is not None}
    body = {"name": guest, "platform": platform or _only_platform(call), **given}
    call.change("POST", "/guests", body, lambda facts: _name(facts) or guest)


def _name(facts: Mapping[str, Any]) -> str | None:
    told = facts.get("guest")
    return str(told["name"]) if isinstance(told, Mapping) and told.get("name") else None


def _only_platform(call: Call) -> str:
    """The uuid of the one platform that a person has.

    :raises WrongUse: there is none, or more than one
    """
    found = list(call.api.listed("/platforms", 2))
    if len(found) == 1:
        return str(found[0]["uuid"])
    raise WrongUse(
        "You have no platform to put a guest on: corpus computenode_init makes one, or its owner lets you in."
        if not found
        else f"You have more than one platform: say which by --platform (corpus platforms {call.endpoint.nickname})."
    )


@command("guest_delete", HEADLINE, ("prod shop", "Asks first"), ("prod shop --yes", "Does not"), changes=True)
@click.argument("guest")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def guest_delete(call: Call, guest: str, yes: bool) -> None:
    """Delete GUEST with its data, address, names and keys."""
    name = str(call.api.get(place("guests", guest))["name"])
    call.confirmed(f"{name} is deleted with all its data.", name, yes)
    call.change("DELETE", place("guests", name), query={"confirm": name})


def _doing(verb: str, what: str) -> None:
    @command(f"guest_{verb}", HEADLINE, ("prod shop", ""), changes=True, what=what)
    @click.argument("guest")
    def do(call: Call, guest: str) -> None:
        call.change("POST", place("guests", guest, verb))


_doing("start", "Start GUEST; it starts with its node from now on.")
_doing("stop", "Stop GUEST; it stays stopped when its node starts again.")
_doing("restart", "Stop GUEST and start it again.")


# --- storage ----------------------------------------------------------------------------------------------------------


def _resizing(verb: str, sign: str, what: str) -> None:
    examples = (
        (f"prod {_UUID} shop", f"By {_STEP}"),
        (f"prod {_UUID} shop 2G", "By as much"),
        ("prod - shop =20G", "To"),
    )

    @command(verb, HEADLINE, *examples, changes=True, what=what)
    @click.argument("uuid_env")
    @click.argument("guest")
    @click.argument("size", default=_STEP)
    def resize(call: Call, uuid_env: str, guest: str, size: str) -> None:
        where(call, uuid_env, guest)
        wanted = size[1:] if size.startswith("=") else sign + size.lstrip("+-")
        call.change("POST", place("guests", guest, verb), {"size": wanted})


_EXACTLY = "=SIZE is all of it. UUID_ENV is the guest's platform, or - when it need not be checked."
_resizing("trim", "-", f"Take SIZE from the storage of GUEST, never more than it has free.\n\n{_EXACTLY}")
_resizing("enlarge", "+", f"Give SIZE to the storage of GUEST.\n\n{_EXACTLY}")


def where(call: Call, platform: str, guest: str) -> None:
    """See that a guest is on the platform that somebody says.

    :param platform: its uuid; ``-`` is any
    :raises NotThere: it is elsewhere
    """
    if platform != "-" and (found := call.api.get(place("guests", guest))["platform"]) != platform:
        raise NotThere(f"{guest} is not on platform {platform}, but on {found}.")


@command("credentials", HEADLINE, ("prod shop", "A link, good for one look within a week"))
@click.argument("guest")
def credentials(call: Call, guest: str) -> None:
    """Print a link that shows the root password of GUEST once, to whoever opens it."""
    made = call.api.ask("POST", place("guests", guest, "credentials")).json()
    call.out.facts({"url": made["url"], "expires": made["expires"]})


@command(
    "redeem",
    HEADLINE,
    ("prod", "Asks for the link"),
    ("prod < link > password", "From and to a file"),
)
@click.argument("link", required=False)
def redeem(call: Call, link: str | None) -> None:
    """Print the secret that LINK (or its token) shows, which it does once. Nobody needs to be logged in.

    Others on this machine see what a command is called with: better let it ask for the link.
    """
    if link is None:
        link = str(click.prompt("Link", hide_input=True, err=True)) if sys.stdin.isatty() else sys.stdin.readline()
    url, _, token = link.strip().rpartition("#")
    if url and not url.startswith(f"{call.endpoint.url}/"):
        raise WrongUse(f"This link is not one of {call.endpoint.nickname}, which is {call.endpoint.url}.")
    found = call.api.ask_as_nobody("POST", "/links", {"token": token})
    if call.out.as_json:
        call.out.json(found)
        return
    call.out.say(f"{found['name']} of {found['subject']}:")
    call.out.line(str(found["value"]))


@command("snapshots", HEADLINE, ("prod shop", ""))
@click.argument("guest")
def snapshots(call: Call, guest: str) -> None:
    """List the snapshots of GUEST."""
    call.out.rows(call.api.get(place("guests", guest, "snapshots")), ("label", "taken:time"))


@command("snapshot", HEADLINE, ("prod shop before-upgrade", "Keep it as it is now"), changes=True)
@click.argument("guest")
@click.argument("label")
def snapshot(call: Call, guest: str, label: str) -> None:
    """Keep GUEST as it is now, as LABEL."""
    call.change("POST", place("guests", guest, "snapshots"), {"label": label})


@command("restore", HEADLINE, ("prod shop before-upgrade", "Asks first"), changes=True)
@click.argument("guest")
@click.argument("label")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def restore(call: Call, guest: str, label: str, yes: bool) -> None:
    """Make GUEST what it was at the snapshot LABEL; what was since is gone."""
    call.confirmed(f"What {guest} did since {label} is gone.", guest, yes)
    call.change("POST", place("guests", guest, "snapshots", label, "restore"))


@command("snapshot_delete", HEADLINE, ("prod shop before-upgrade", ""), changes=True)
@click.argument("guest")
@click.argument("label")
def snapshot_delete(call: Call, guest: str, label: str) -> None:
    """Forget the snapshot LABEL of GUEST."""
    call.change("DELETE", place("guests", guest, "snapshots", label))


@command("move", HEADLINE, ("prod shop node2", "It keeps its name and its data"), changes=True)
@click.argument("guest")
@click.argument("node")
def move(call: Call, guest: str, node: str) -> None:
    """Take GUEST to another compute NODE; a move that fails leaves it where it was."""
    call.change("POST", place("guests", guest, "move"), {"node": node})


@command("name_add", HEADLINE, ("prod shop www.example.org", ""), changes=True)
@click.argument("guest")
@click.argument("fqdn")
def name_add(call: Call, guest: str, fqdn: str) -> None:
    """Give GUEST one more name, FQDN, which its node's proxy serves."""
    call.change("POST", place("guests", guest, "names"), {"fqdn": fqdn})


@command("name_remove", HEADLINE, ("prod shop www.example.org", ""), changes=True)
@click.argument("guest")
@click.argument("fqdn")
def name_remove(call: Call, guest: str, fqdn: str) -> None:
    """Take the name FQDN from GUEST."""
    call.change("DELETE", place("guests", guest, "names", fqdn))


# --- in it ------------------------------------------------------------------------------------------------------------


@command(
    "ssh",
    HEADLINE,
    ("prod shop", "Log in"),
    ("prod shop -- systemctl --failed", "Run a program there"),
    ("prod shop --user ada -o -L -o 5432:localhost:5432", "With more of ssh's own options"),
)
@click.argument("guest")
@click.argument("words", nargs=-1)
@click.option("--user", default="root", show_default=True, help="Who logs in.")
@click.option("-o", "--option", "options", multiple=True, help="A word for ssh itself; may be repeated.")
def ssh(call: Call, guest: str, words: Sequence[str], user: str, options: Sequence[str]) -> None:
    """Log in to GUEST by ssh, at the host and port where it is now; with WORDS, run them there."""
    argv = ssh_argv(call.api.get(place("guests", guest)), user, options, words)
    call.out.note(" ".join(argv))
    if call.out.as_json:
        call.out.json({"argv": argv})
        return
    if shutil.which("ssh") is None:
        raise ClientError("There is no ssh on this machine: install OpenSSH's client.")
    sys.stdout.flush()
    os.execvp("ssh", argv)


def ssh_argv(guest: Mapping[str, Any], user: str, options: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the command line that logs in to a guest. Its key is known by its name, wherever it moves.

    :param guest: as the API tells of it
    :raises ClientError: it has no way in
    """
    host, port = guest.get("ssh_host"), guest.get("ssh_port")
    if not host or not port:
        raise ClientError(f"{guest['name']} has no ssh port yet: it is {guest['state']}.")
    if user.startswith("-") or not user:
        raise WrongUse(f"{user!r} is no user.")
    alias = f"HostKeyAlias={guest.get('minion_id') or guest['uuid']}"
    return ["ssh", "-p", str(port), "-o", alias, *options, f"{user}@{host}", *words]


@command("exec", HEADLINE, ("prod shop -- uptime -p", "Without a key of one's own there"))
@click.argument("guest")
@click.argument("argv", nargs=-1, required=True)
@click.option("--timeout", type=click.FloatRange(0, 300), default=60, show_default=True, help="Seconds.")
def exec_(call: Call, guest: str, argv: Sequence[str], timeout: float) -> int:
    """Run a program in GUEST as root, through the controller; its exit status is the command's."""
    told = call.api.ask("POST", place("guests", guest, "exec"), {"argv": list(argv), "timeout": timeout}).json()
    if call.out.as_json:
        call.out.json(told)
    else:
        sys.stdout.write(told["stdout"])
        sys.stderr.write(told["stderr"])
    return int(told["retcode"])
