"""``corpus``: what its command line says, and the exit status it ends with."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click
from click.shell_completion import get_completion_class
from rich.console import Console
from rich.text import Text

from . import __version__
from .commands import load
from .errors import FAILED, INTERRUPTED, STATUSES, USAGE, ClientError
from .frame import COMMANDS, Command, Commands
from .output import harmless

_PROG, _COMPLETION = "corpus", "_CORPUS_COMPLETE"


def _statuses() -> str:
    return "\n".join(["\b", "Exit status:", *(f"  {number:>3}  {what}" for number, what in STATUSES.items())])


@click.group(
    _PROG,
    cls=Commands,
    epilog=_statuses(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=_PROG)
def cli() -> None:
    """Ask a corpus cloud from where you are: compute nodes, guests, projects, names.

    ENDPOINT is a nickname of ~/.makinastates.conf (or of the file that CORPUS_CONFIG names), which nobody but you may
    read:

    \b
        prod:
          url: https://corpus.example.org
          id: ada
          password_command: [pass, show, corpus]

    A password is taken from CORPUS_PASSWORD, password_command or password, or asked for; a personal access token from
    CORPUS_TOKEN, token_command or token.
    """


@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def _completion(shell: str) -> None:
    """Print what completes commands, options and nicknames in a shell."""
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, _PROG, _COMPLETION).source())


def register() -> None:
    """Make every command known."""
    load()
    params = list(reversed(getattr(_completion, "__click_params__", [])))
    made = Command("completion", callback=_completion, params=params, help=_completion.__doc__)
    made.headline = "You"
    made.examples = [
        ('eval "$(corpus completion bash)"', "In ~/.bashrc (zsh likewise)"),
        ("corpus completion fish > ~/.config/fish/completions/corpus.fish", "For fish"),
    ]
    COMMANDS["completion"] = made


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what a command line says; return the exit status."""
    register()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        ended = cli.main(words, prog_name=_PROG, complete_var=_COMPLETION, standalone_mode=False)
    except click.ClickException as err:
        err.show()
        return USAGE if isinstance(err, click.UsageError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except ClientError as err:
        _complain(err, "--json" in words)
        return err.status
    return ended if isinstance(ended, int) else 0


def _complain(err: ClientError, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": {"status": err.status, "detail": str(err)}}, ensure_ascii=False), err=True)
    else:
        Console(stderr=True, highlight=False).print(
            Text.assemble(("corpus: ", "red"), harmless(str(err))), soft_wrap=True
        )


if __name__ == "__main__":
    sys.exit(main())
