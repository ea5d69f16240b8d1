"""One call of the command: whom it asks, how it shows, and one way to have things done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from .api import Api
from .errors import FAILED, INTERRUPTED, ClientError, NotAllowed, WrongUse
from .output import Output
from .progress import follow
from .settings import Endpoint


@dataclass
class Call:
    """What a command works with.

    :param endpoint: whom it asks
    :param out: where it shows
    :param plan: tell what would be done, and do nothing
    :param detach: do not wait for an operation
    """

    endpoint: Endpoint
    out: Output
    plan: bool = False
    detach: bool = False

    @cached_property
    def api(self) -> Api:
        """The endpoint's API."""
        return Api(self.endpoint, secret, self.out.note)

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        result: Callable[[Mapping[str, Any]], str | None] = lambda _facts: None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Have something done, or planned; show it until it is over, and how it ended.

        :param result: takes from the facts of an operation that was done the word that stdout gets
        :param headers: of the request
        :returns: the plan, the operation, or what else was answered
        :raises ClientError: it failed
        """
        asked = {**(query or {}), **({"plan": "true"} if self.plan else {})}
        answer = self.api.ask(method, path, body, asked, headers)
        told: dict[str, Any] = answer.json() if answer.content else {}
        if answer.status_code == 202:
            return self.awaited(str(told["operation"]), result)
        if self.plan:
            self._planned(told)
        elif self.out.as_json:
            self.out.json(told)
        else:
            self.out.say("Done.", "green")
        return told

    def _planned(self, plan: Mapping[str, Any]) -> None:
        if self.out.as_json:
            self.out.json(plan)
        elif "steps" in plan:
            self.out.rows(plan["steps"], ("name", "state", "message"))
            self.out.say(str(plan.get("comment") or ""))
        else:
            self.out.facts(plan)
        if plan.get("result") is False:
            raise ClientError(f"That could not be done: {plan.get('comment')}")

    def awaited(
        self, operation: str, result: Callable[[Mapping[str, Any]], str | None] = lambda _facts: None
    ) -> dict[str, Any]:
        """Follow an operation to its end.

        :raises ClientError: it did not come to a good one
        """
        if self.detach:
            if self.out.as_json:
                self.out.json({"operation": operation})
            else:
                self.out.line(operation)
            return {"operation": operation}
        try:
            found = follow(self.api, self.out, operation)
        except KeyboardInterrupt:
            raise ClientError(f"The operation goes on. {self.how_to_follow(operation)}", INTERRUPTED) from None
        except ClientError as err:
            raise ClientError(f"{err} {self.how_to_follow(operation)}", err.status) from err
        if self.out.as_json:
            self.out.json(found)
        if found["state"] != "done":
            why = str(found["comment"] or "no word of why").rstrip(".")
            hint = "" if found["state"] == "undone" else f" {self.how_to_resume(operation)}"
            raise ClientError(f"{found['kind']} failed: {why}.{hint}", FAILED)
        if not self.out.as_json:
            self.out.say(found["comment"] or "Done.", "green")
            if word := result(found.get("facts") or {}):
                self.out.line(word)
        return found

    def how_to_follow(self, operation: str) -> str:
        """The command that follows an operation."""
        return f"Follow it: corpus operations {self.endpoint.nickname} {operation} --follow"

    def how_to_resume(self, operation: str) -> str:
        """The command that finishes or undoes an operation."""
        return f"What is left of it: corpus resume {self.endpoint.nickname} {operation}"

    def rows(self, path: str, columns: Sequence[str], limit: int | None = None, **query: Any) -> None:
        """Show a list of the API."""
        self.out.rows(self.api.listed(path, limit, **query), columns)

    def confirmed(self, question: str, name: str, yes: bool) -> None:
        """See that somebody means it.

        :param question: what will be gone
        :param name: that they type
        :raises WrongUse: they do not
        """
        if yes or self.plan:
            return
        if not sys.stdin.isatty():
            raise WrongUse(f"{question} Nobody can be asked here whether that is meant: say --yes.")
        typed = click.prompt(f"{question} Type {name} to confirm", err=True, default="", show_default=False)
        if typed != name:
            raise WrongUse("Nothing was done.")


def secret(endpoint: Endpoint) -> tuple[str, str]:
    """Return name and password of a person: as they were given, or asked for.

    :raises NotAllowed: nobody can be asked
    """
    password, there = endpoint.given_password(), sys.stdin.isatty()
    if (password is None or endpoint.id is None) and not there:
        raise NotAllowed(
            f"Nobody is logged in to {endpoint.nickname}, and nobody can be asked for a password here: "
            "set id and password_command or token_command in the settings, CORPUS_PASSWORD or CORPUS_TOKEN."
        )
    name = endpoint.id or str(click.prompt(f"Your name at {endpoint.nickname}", err=True))
    if password is None:
        password = str(click.prompt(f"Password of {name} at {endpoint.url}", hide_input=True, err=True))
    return name, password
