"""Projects."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..api import place
from ..call import Call
from ..errors import ClientError, NotThere, WrongUse
from ..frame import command
from ..tailing import followed

HEADLINE = "Projects"
_UUID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
_ROLES = ("owner", "deployer", "viewer")
_DEPLOYMENTS = (
    "deployment",
    "project",
    "guest",
    "kind",
    "result",
    "when:time",
    "seconds:seconds",
    "revision",
    "who",
    "comment",
)
_PROCESSES = ("type", "number", "state", "pid", "since:time", "memory:bytes", "cpu", "port", "release", "words")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

guest_option = click.option("--guest", help="On this guest; not set: the only one, or all of them.")


@command(
    "projects",
    HEADLINE,
    ("prod", "Those that you may see"),
    ("prod shop", "One, with its guests, remotes and people"),
)
@click.argument("project", required=False)
@click.option("--guest", help="On this guest alone.")
def projects(call: Call, project: str | None, guest: str | None) -> None:
    """List the projects; or tell everything of PROJECT."""
    if project is not None:
        call.out.facts(call.api.get(place("projects", project)))
        return
    call.rows("/projects", ("name", "guests", "created:time", "uuid"), guest=guest)


@command(
    "project_create",
    HEADLINE,
    ("prod shop", "You own it"),
    ("prod shop --owner ada --owner bob", "They do"),
    changes=True,
)
@click.argument("project")
@click.option("--owner", "owners", multiple=True, help="Login name of somebody who owns it; may be repeated.")
def project_create(call: Call, project: str, owners: Sequence[str]) -> None:
    """Create PROJECT, to be placed on guests, and print its uuid."""
    body = {"name": project, **({"owners": list(owners)} if owners else {})}

    def uuid(_facts: Mapping[str, Any]) -> str:
        return str(call.api.get(place("projects", project))["uuid"])

    call.change("POST", "/projects", body, uuid)


@command(
    "project_destroy",
    HEADLINE,
    (f"prod {_UUID} shop", "On one platform; when it is on no other, all of it"),
    ("prod - shop", "Wherever it is"),
    changes=True,
)
@click.argument("uuid_env")
@click.argument("project")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def project_destroy(call: Call, uuid_env: str, project: str, yes: bool) -> None:
    """Destroy PROJECT and free its resources on the platform UUID_ENV; - is all platforms.

    On guests of other platforms it stays; when there are none, it is destroyed altogether.
    """
    on = [one["guest"] for one in call.api.get(place("projects", project))["placements"]]
    here = on
    if uuid_env != "-":
        call.api.get(place("platforms", uuid_env))
        there = {one["name"] for one in call.api.listed("/guests", platform=uuid_env, project=project)}
        here = [guest for guest in on if guest in there]
        if not here:
            raise NotThere(f"{project} is on no guest of platform {uuid_env}, but on {', '.join(on) or 'none at all'}.")
    call.confirmed(f"{project} is destroyed with its data on {', '.join(here) or 'no guest'}.", project, yes)
    if here == on:
        call.change("DELETE", place("projects", project), query={"confirm": project})
        return
    for guest in here:
        call.change("DELETE", place("projects", project, "placements", guest), query={"confirm": project})


@command(
    "project_place",
    HEADLINE,
    ("prod shop web1", "It can be pushed there"),
    ("prod shop web1 --domain shop.example.org", "And is served under a name"),
    changes=True,
)
@click.argument("project")
@click.argument("guest")
@click.option("--domain", help="Under which it is served.")
def project_place(call: Call, project: str, guest: str, domain: str | None) -> None:
    """Make PROJECT ready to be pushed to on GUEST."""
    body = {"guest": guest, **({"domain": domain} if domain else {})}
    call.change("POST", place("projects", project, "placements"), body)


@command("project_unplace", HEADLINE, ("prod shop web1", "Asks first"), changes=True)
@click.argument("project")
@click.argument("guest")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def project_unplace(call: Call, project: str, guest: str, yes: bool) -> None:
    """Remove PROJECT with its data from GUEST; a last archive stays there."""
    call.confirmed(f"{project} is removed with its data from {guest}.", project, yes)
    call.change("DELETE", place("projects", project, "placements", guest), query={"confirm": project})


# --- what was deployed ------------------------------------------------------------------------------------------------


@command(
    "deploy",
    HEADLINE,
    ("prod shop", "Once more, what was pushed"),
    ("prod shop --revision v1.4.2", "Another commit that was pushed"),
    changes=True,
)
@click.argument("project")
@guest_option
@click.option("--revision", help="Branch, tag or commit of what was pushed.")
def deploy(call: Call, project: str, guest: str | None, revision: str | None) -> None:
    """Deploy what was pushed of PROJECT before; corpus push pushes, and deploys by that."""
    call.change("POST", place("projects", project, "push"), _given(guest=guest, revision=revision))


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


@command(
    "deployments",
    HEADLINE,
    ("prod", "The last ones of all projects"),
    ("prod shop --failed", "Those of one that failed"),
    ("prod shop 20260131T120000Z-1a2b3c4d", "One, with its stages"),
)
@click.argument("project", required=False)
@click.argument("deployment", required=False)
@click.option("--guest", help="On this guest alone.")
@click.option("--failed", is_flag=True, help="Those alone that failed.")
@click.option("--since", type=click.DateTime(), help="From this moment on, by your clock.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@click.option("--report", is_flag=True, help="Everything that DEPLOYMENT brought, as its guest keeps it.")
def deployments(
    call: Call,
    project: str | None,
    deployment: str | None,
    guest: str | None,
    failed: bool,
    since: datetime.datetime | None,
    limit: int,
    report: bool,
) -> None:
    """List deployments, newest first; or tell of DEPLOYMENT of PROJECT, with its stages."""
    if project is not None and deployment is not None:
        path = place("projects", project, "deployments", deployment, *(["report"] if report else []))
        found = call.api.get(path, guest=guest)
        if call.out.as_json or report:
            call.out.facts(found)
            return
        stages = found.pop("stages")
        call.out.facts(found)
        call.out.rows(stages, ("stage", "result", "seconds:seconds", "changed", "comment"))
        return
    path = place("projects", project, "deployments") if project else "/deployments"
    moment = since.astimezone().isoformat() if since else None
    call.rows(path, _DEPLOYMENTS, limit, guest=guest, result="false" if failed else None, since=moment)


@command("releases", HEADLINE, ("prod shop", "What one can go back to"))
@click.argument("project")
@click.option("--guest", help="On this guest.")
def releases(call: Call, project: str, guest: str | None) -> None:
    """List the releases of PROJECT that a guest keeps, the newest first."""
    found = call.api.get(place("projects", project, "releases"), guest=guest)["releases"]
    shown = [key for key in found[0] if not isinstance(found[0][key], (dict, list))] if found else []
    call.out.rows(found, [f"{key}:{'time' if key == 'when' else ''}" for key in shown])


@command(
    "rollback",
    HEADLINE,
    ("prod shop", "To the release that ran before"),
    ("prod shop 20260131T120000Z-1a2b3c4d --guest web1", "To another one"),
    changes=True,
)
@click.argument("project")
@click.argument("release", required=False)
@guest_option
def rollback(call: Call, project: str, release: str | None, guest: str | None) -> None:
    """Let PROJECT go back to RELEASE, or to the one that ran before."""
    call.change("POST", place("projects", project, "rollback"), _given(release=release, guest=guest))


@command("plan", HEADLINE, ("prod shop", "Of what was pushed"), ("prod shop --revision v1.4.2", "Of another commit"))
@click.argument("project")
@click.option("--guest", help="On this guest.")
@click.option("--revision", help="Branch, tag or commit of what was pushed.")
def plan(call: Call, project: str, guest: str | None, revision: str | None) -> None:
    """Tell what a deployment of PROJECT would change, stage by stage."""
    found = call.api.get(place("projects", project, "plan"), guest=guest, revision=revision)
    report = found["plan"]
    stages = report.get("stages")
    if call.out.as_json or not isinstance(stages, dict):
        call.out.facts(found)
    else:
        rows = [
            {"stage": name, **(told if isinstance(told, dict) else {"comment": told})} for name, told in stages.items()
        ]
        call.out.rows(rows, ("stage", "result", "comment"))
        call.out.say(str(report.get("comment") or ""))
    if report.get("result") is False:
        raise ClientError("A deployment would fail.")


# --- what runs --------------------------------------------------------------------------------------------------------


@command("status", HEADLINE, ("prod shop", "How it is"))
@click.argument("project")
@click.option("--guest", help="On this guest.")
def status(call: Call, project: str, guest: str | None) -> None:
    """Tell how PROJECT is on a guest: what runs, since when, its address, its processes."""
    found = call.api.get(place("projects", project, "status"), guest=guest)
    if call.out.as_json:
        call.out.json(found)
        return
    told = {key: value for key, value in found["status"].items() if key != "processes"}
    call.out.facts({"guest": found["guest"], **told})
    call.out.rows(found["processes"], _PROCESSES)


@command("open", HEADLINE, ("prod shop", "What visitors see"), ("prod", "The service's own pages"))
@click.argument("project", required=False)
@click.option("--guest", help="On this guest.")
def open_(call: Call, project: str | None, guest: str | None) -> None:
    """Open PROJECT, or the service's pages, in a browser; in a pipe, print the address."""
    url = call.endpoint.url
    if project is not None:
        told = call.api.get(place("projects", project, "status"), guest=guest)
        url = str(told["status"].get("url") or "")
    if not url.startswith(("http://", "https://")):
        raise ClientError(f"{project} is not served on {guest or 'its guest'}: corpus status tells how it is.")
    if call.out.as_json:
        call.out.json({"url": url})
        return
    call.out.line(url)
    if call.out.to_person:
        click.launch(url)


@command(
    "logs",
    HEADLINE,
    ("prod shop", "What its processes printed last"),
    ("prod shop --type web -n 500 --follow", "And what they print from now on"),
    ("prod shop --deployment 20260131T120000Z-1a2b3c4d", "The log of a deployment"),
)
@click.argument("project")
@click.option("--guest", help="On this guest.")
@click.option("--type", "kind", help="Of processes of this type alone.")
@click.option("-n", "--lines", type=click.IntRange(1, 2000), default=100, show_default=True, help="Of each type.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--deployment", help="The log of this deployment instead.")
def logs(
    call: Call, project: str, guest: str | None, kind: str | None, lines: int, follow: bool, deployment: str | None
) -> None:
    """Show what the processes of PROJECT printed, secrets taken out."""
    if deployment is not None:
        path, query = place("projects", project, "deployments", deployment, "log"), {"guest": guest, "lines": lines}
    else:
        path, query = place("projects", project, "logs"), {"guest": guest, "type": kind, "lines": lines}
    if not follow or deployment is not None:
        found = call.api.get(path, **query)
        if call.out.as_json:
            call.out.json(found)
            return
        for line in found["lines"]:
            call.out.line(line)
        return
    for line in followed(call.api, path, query):
        if call.out.as_json:
            call.out.json_line({"line": line})
        else:
            call.out.line(line)


@command(
    "scale",
    HEADLINE,
    ("prod shop", "What runs"),
    ("prod shop web=3 worker=1", "So many of each, now and in later releases"),
    changes=True,
)
@click.argument("project")
@click.argument("counts", nargs=-1)
@guest_option
def scale(call: Call, project: str, counts: Sequence[str], guest: str | None) -> None:
    """Run so many processes of each type of PROJECT; without COUNTS, tell what runs."""
    if not counts:
        call.out.rows(call.api.get(place("projects", project, "status"), guest=guest)["processes"], _PROCESSES)
        return
    wanted = {}
    for word in counts:
        kind, _, count = word.partition("=")
        if not kind or not count.isdecimal():
            raise WrongUse(f"{word!r} is not such as web=3.")
        wanted[kind] = int(count)
    call.change("PUT", place("projects", project, "scale"), _given(counts=wanted, guest=guest))


@command("restart", HEADLINE, ("prod shop", "All of them"), ("prod shop web", "Of one type"), changes=True)
@click.argument("project")
@click.argument("type", required=False)
@guest_option
def restart(call: Call, project: str, type: str | None, guest: str | None) -> None:  # noqa: A002 - its word
    """Replace the processes of PROJECT (of TYPE alone) by new ones of the same release, without a request lost."""
    call.change("POST", place("projects", project, "restart"), _given(type=type, guest=guest))


@command(
    "maintenance",
    HEADLINE,
    ("prod shop on --reason 'moving the database'", "Visitors are told so"),
    ("prod shop off", "It is open again"),
    changes=True,
)
@click.argument("project")
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--reason", default="", help="What visitors are told.")
@guest_option
def maintenance(call: Call, project: str, state: str, reason: str, guest: str | None) -> None:
    """Close PROJECT with its maintenance page, or open it again."""
    path = place("projects", project, "maintenance")
    if state == "on":
        call.change("PUT", path, _given(reason=reason, guest=guest))
    else:
        call.change("DELETE", path, query={"guest": guest})


@command(
    "env",
    HEADLINE,
    ("prod shop", "The names that are set"),
    ("prod shop LOG_LEVEL=debug", "Set one; a short deployment, which can be rolled back"),
    ("prod shop SMTP_PASSWORD", "Asks for the value, which no list of processes shows then"),
    ("prod shop --from .env", "Set those of a file (- is stdin)"),
    ("prod shop --unset LOG_LEVEL", "Take one back"),
    changes=True,
)
@click.argument("project")
@click.argument("variables", nargs=-1)
@click.option("--from", "file", type=click.Path(dir_okay=False, allow_dash=True), help="A file of lines NAME=VALUE.")
@click.option("--unset", help="Take this variable back.")
@guest_option
def env(
    call: Call, project: str, variables: Sequence[str], file: str | None, unset: str | None, guest: str | None
) -> None:
    """List the environment's variables of PROJECT, never a value; or set VARIABLES, or take one back."""
    path = place("projects", project, "env")
    if unset is not None:
        if variables or file:
            raise WrongUse("Set and take back in two steps.")
        call.change("DELETE", f"{path}{place(unset)}", query={"guest": guest})
        return
    if not variables and file is None:
        call.out.rows(call.api.get(path, guest=guest)["variables"], ("name", "empty"))
        return
    values = assignments(_text(file)) if file is not None else {}
    for word in variables:
        name, given, value = word.partition("=")
        if not _VARIABLE.fullmatch(name):
            raise WrongUse(f"{name!r} is no name of a variable.")
        values[name] = value if given else str(click.prompt(f"Value of {name}", hide_input=True, err=True))
    call.change("PUT", path, _given(variables=values, guest=guest))


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise WrongUse(f"{file} cannot be read: {err}") from err


def assignments(text: str) -> dict[str, str]:
    """Return the variables of a file: lines ``NAME=VALUE``, a value's quotes taken off.

    :raises WrongUse: a line is something else
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().removeprefix("export ").strip()
        if not words or words.startswith("#"):
            continue
        name, given, value = words.partition("=")
        name, value = name.strip(), value.strip()
        if not given or not _VARIABLE.fullmatch(name):
            raise WrongUse(f"Line {number} is not such as NAME=VALUE.")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name] = value
    return found


@command("stats", HEADLINE, ("prod", "All projects together"), ("prod shop --weeks 4", "One"))
@click.argument("project", required=False)
@click.option("--weeks", type=click.IntRange(1, 104), default=12, show_default=True, help="How far to look back.")
@click.option("--guest", help="On this guest alone.")
def stats(call: Call, project: str | None, weeks: int, guest: str | None) -> None:
    """Tell how PROJECT (or all that you may see) is delivered: how often, how fast, how well."""
    if project is None:
        found = call.api.get("/statistics", weeks=weeks)
    else:
        found = call.api.get(place("projects", project, "statistics"), weeks=weeks, guest=guest)
    if call.out.as_json:
        call.out.json(found)
        return
    lists = {
        "weeks": ("begin", "deployments", "refused", "lead_time_seconds:seconds"),
        "people": ("who", "deployments"),
    }
    call.out.facts({key: value for key, value in found.items() if key not in (*lists, "stages")})
    for key, columns in lists.items():
        call.out.rows(found[key], columns)


# --- people -----------------------------------------------------------------------------------------------------------


on_platform = click.option("--platform", is_flag=True, help="WHERE is a platform's uuid: there, and on its guests.")


@command(
    "grant",
    HEADLINE,
    ("prod shop bob deployer", "Bob may push"),
    (f"prod {_UUID} bob deployer --platform", "And log in to a platform's guests"),
    changes=True,
)
@click.argument("where")
@click.argument("person")
@click.argument("role", type=click.Choice(_ROLES), default="deployer")
@click.option("--email", help="Of a person who is not known yet; in a project.")
@on_platform
def grant(call: Call, where: str, person: str, role: str, email: str | None, platform: bool) -> None:
    """Give PERSON a ROLE in the project WHERE: owner, deployer or viewer."""
    body = _given(owner=person, role=role, email=email)
    call.change("POST", place("platforms" if platform else "projects", where, "roles"), body)


@command("revoke", HEADLINE, ("prod shop bob", "All that Bob is in it"), changes=True)
@click.argument("where")
@click.argument("person")
@click.argument("role", type=click.Choice(_ROLES), required=False)
@on_platform
def revoke(call: Call, where: str, person: str, role: str | None, platform: bool) -> None:
    """Take from PERSON what they are in the project WHERE, or ROLE alone."""
    path = place("platforms" if platform else "projects", where, "roles", person)
    call.change("DELETE", path, query={"role": role})
