"""The controller itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from ..api import place
from ..call import Call
from ..errors import ClientError, WrongUse
from ..frame import command

HEADLINE = "The controller"


@command("controller", HEADLINE, ("prod", "Does every part of it answer?"))
def controller(call: Call) -> None:
    """Tell what there is, and whether each part of the controller answers; exit status 1 when one does not."""
    found = call.api.get("/controller")
    call.out.facts(found)
    if not found["result"]:
        raise ClientError(str(found["comment"]))


@command(
    "resume",
    HEADLINE,
    ("prod", "What was interrupted"),
    ("prod 0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce", "What is left of one that failed"),
    changes=True,
    waits=False,
)
@click.argument("operation", required=False)
def resume(call: Call, operation: str | None) -> None:
    """Finish or undo the operations whose process died, or what is left of OPERATION, which failed."""
    query = {"plan": "true"} if call.plan else {}
    body = {"operation": operation} if operation else {}
    found = call.api.ask("POST", "/controller/resume", body, query).json()
    if call.out.as_json:
        call.out.json(found)
    else:
        call.out.rows(found["operations"], ("operation", "name", "comment"))
        call.out.say(found["comment"])
    if not found["result"]:
        raise ClientError("Not everything could be settled.")


@command("check", HEADLINE, ("prod", "Compare"), ("prod --fix", "And put right what can be"))
@click.option("--fix", is_flag=True, help="Put right what can be.")
def check(call: Call, fix: bool) -> None:
    """Compare the registry with the world; exit status 1 when something differs."""
    found = call.api.ask("POST", "/registry/check", {"fix": fix}).json()
    if call.out.as_json:
        call.out.json(found)
    else:
        call.out.rows(found["differences"], ("kind", "subject", "repairable", "repaired", "message"))
        call.out.say(found["comment"])
    if not found["result"]:
        raise ClientError("The registry and the world differ.")


@command("rotate_key", HEADLINE, ("prod", ""), changes=True, waits=False)
def rotate_key(call: Call) -> None:
    """Encrypt all credentials with a new key, and forget the old one."""
    call.change("POST", "/registry/rotate-key")


@command("images", HEADLINE, ("prod", ""))
def images(call: Call) -> None:
    """List the images that guests are cloned from."""
    call.rows("/images", ("name", "version", "size:bytes", "created:time", "nodes"))


@command("image_build", HEADLINE, ("prod debian --suite trixie --sync", ""), changes=True)
@click.argument("name", default="debian")
@click.option("--suite", help="Of Debian.")
@click.option("--again", is_flag=True, help="Also when there is one of the same already.")
@click.option("--sync", is_flag=True, help="Bring it to all compute nodes, too.")
def image_build(call: Call, name: str, suite: str | None, again: bool, sync: bool) -> None:
    """Build the image NAME, unless there is one of the same already."""
    body = {"name": name, "again": again, "sync": sync, **({"suite": suite} if suite else {})}
    call.change("POST", "/images", body)


# --- machines of public clouds ----------------------------------------------------------------------------------------


@command("machines", HEADLINE, ("prod", "The accounts"), ("prod amazon", "What was made with one"))
@click.argument("account", required=False)
def machines(call: Call, account: str | None) -> None:
    """List the accounts with public clouds; or the machines that were made with ACCOUNT."""
    if account is None:
        call.out.rows(call.api.get("/machines"), ("name", "provider", "region", "url"))
    else:
        call.out.rows(call.api.get(place("machines", account)), ("name", "state", "address", "address6", "id"))


@command("machine_create", HEADLINE, ("prod amazon node7 debian-12 m6i.large", ""), changes=True)
@click.argument("account")
@click.argument("name")
@click.argument("image")
@click.argument("size")
def machine_create(call: Call, account: str, name: str, image: str, size: str) -> None:
    """Make the machine NAME with ACCOUNT, of IMAGE and SIZE: to become a compute node."""
    call.change("POST", place("machines", account), {"name": name, "image": image, "size": size})


@command("machine_destroy", HEADLINE, ("prod amazon node7", "Asks first"), changes=True)
@click.argument("account")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def machine_destroy(call: Call, account: str, name: str, yes: bool) -> None:
    """Destroy the machine NAME, which was made here with ACCOUNT."""
    call.confirmed(f"The machine {name} is destroyed.", name, yes)
    call.change("DELETE", place("machines", account, name), query={"confirm": name})


# --- anything else ----------------------------------------------------------------------------------------------------


@command(
    "api",
    HEADLINE,
    ("prod GET /nodes/node1/settings --include", "As the API answers; with its ETag"),
    ("""prod PUT /nodes/node1/settings --header 'If-Match: "5f70…"' --body '{"slots": 20}'""", ""),
    changes=True,
)
@click.argument("method", type=click.Choice(["GET", "POST", "PUT", "PATCH", "DELETE"], case_sensitive=False))
@click.argument("path")
@click.option("--body", help="JSON; - reads it from stdin.")
@click.option("--header", "headers", multiple=True, help="NAME: VALUE; may be repeated.")
@click.option("--include", is_flag=True, help="Show the answer's ETag on stderr, too.")
def api(call: Call, method: str, path: str, body: str | None, headers: Sequence[str], include: bool) -> None:
    """Ask the API for PATH, below /api/v1; its answer is shown as JSON, an operation is followed."""
    if not path.startswith("/"):
        raise WrongUse(f"{path!r} is no path: it begins with a slash, and is below /api/v1.")
    given = dict(_header(one) for one in headers)
    answer = call.api.ask(method, path, _body(body), {"plan": "true"} if call.plan else {}, given)
    if include and "ETag" in answer.headers:
        call.out.say(f"ETag: {answer.headers['ETag']}")
    if answer.status_code == 202:
        call.awaited(str(answer.json()["operation"]))
    elif answer.content and "json" in answer.headers.get("Content-Type", ""):
        call.out.json(answer.json())
    elif answer.content:
        call.out.line(answer.text)


def _header(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not colon or name.strip().lower() == "authorization":
        raise WrongUse("A header is such as 'If-Match: \"5f70\"'; who asks is not one.")
    return name.strip(), value.strip()


def _body(given: str | None) -> Any:
    if given is None:
        return None
    try:
        return json.loads(sys.stdin.read() if given == "-" else given)
    except ValueError as err:
        raise WrongUse(f"The body is no JSON: {err}") from err
