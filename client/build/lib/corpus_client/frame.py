"""What all commands have in common: ENDPOINT first, ``--json``, ``-v``; ``--plan`` and ``--detach`` of what changes something."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from . import settings
from .call import Call
from .output import Output

Function = Callable[..., Any]

#: Every command, by its name; and the headline of ``corpus --help`` that each stands under.
COMMANDS: dict[str, Command] = {}


class Nickname(click.ParamType):
    """A nickname of the settings' file."""

    name = "endpoint"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The nicknames that begin so."""
        return [CompletionItem(one) for one in settings.nicknames() if one.startswith(incomplete)]


class Command(click.Command):
    """A command.

    :param headline: that it stands under
    :param examples: command lines, each with what it does
    """

    headline = ""
    examples: Sequence[tuple[str, str]] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        with formatter.section("Examples"):
            for line, what in self.examples:
                formatter.write_text(f"{what}:" if what else "")
                formatter.write(f"    {line}\n")


class Commands(click.Group):
    """All commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The one of a name."""
        return COMMANDS.get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them under their headlines."""
        for headline in dict.fromkeys(one.headline for one in COMMANDS.values()):
            with formatter.section(headline):
                rows = [(n, c.get_short_help_str(80)) for n, c in COMMANDS.items() if c.headline == headline]
                formatter.write_dl(rows, col_max=24)


JSON = click.Option(["--json", "as_json"], is_flag=True, help="Show JSON.")
VERBOSE = click.Option(["-v", "--verbose"], is_flag=True, help="Tell of each request.")
PLAN = click.Option(["--plan", "plan_only"], is_flag=True, help="Tell what would be done, and do nothing.")
DETACH = click.Option(["--detach"], is_flag=True, help="Do not wait for the end: print the operation.")
ENDPOINT = click.Argument(["endpoint"], type=Nickname())


def command(
    name: str,
    headline: str,
    *examples: tuple[str, str],
    changes: bool = False,
    waits: bool = True,
    what: str | None = None,
) -> Callable[[Function], Function]:
    """Make a function that takes a :class:`Call` a command whose first argument is ENDPOINT.

    :param examples: what stands behind ``corpus <name>``, each with what it does
    :param changes: it changes something, and can be planned
    :param waits: what it changes is an operation, which takes a while
    :param what: it does; None: its docstring says so
    """

    def register(function: Function) -> Function:
        @functools.wraps(function)
        def called(
            endpoint: str,
            as_json: bool,
            verbose: bool,
            plan_only: bool = False,
            detach: bool = False,
            **given: Any,
        ) -> Any:
            call = Call(settings.endpoint(endpoint), Output(as_json, verbose), plan_only, detach)
            try:
                return function(call, **given)
            finally:
                if "api" in call.__dict__:
                    call.api.close()

        own = list(reversed(getattr(function, "__click_params__", [])))
        more = [*([PLAN] if changes else []), *([DETACH] if changes and waits else [])]
        params = [ENDPOINT, *own, *more, JSON, VERBOSE]
        made = Command(name, callback=called, params=params, help=what or inspect.getdoc(function))
        made.headline = headline
        made.examples = [(f"corpus {name} {words}".rstrip(), about) for words, about in examples]
        COMMANDS[name] = made
        return function

    return register
