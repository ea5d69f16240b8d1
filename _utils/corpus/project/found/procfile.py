"""``Procfile``: which process types a tree has, one line each (``<type>: <command>``), as Heroku reads it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from corpus.errors import ConfigurationError, CorpusError
from corpus.project import manifests

NAME = "Procfile"
#: the type whose process runs once, before a release takes over
RELEASE = "release"
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_TYPE = re.compile(r"[A-Za-z0-9_-]{1,40}")


def read(tree: Path) -> dict[str, str]:
    """Return the process types and command lines of a tree's ``Procfile``; empty when there is none.

    :raises ConfigurationError: a line is not ``<type>: <command>``, or the file is not UTF-8
    """
    found = {}
    text = manifests.small_text(tree, NAME) or ""
    if "\ufffd" in text:
        raise ConfigurationError("Procfile: it is not UTF-8.")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        kind, colon, command = line.partition(":")
        if not colon or not command.strip() or "\0" in command or not _TYPE.fullmatch(kind.strip()):
            raise ConfigurationError(f"Procfile, line {number}: expected '<type>: <command>'.")
        found[kind.strip()] = command.strip()
    return found


def web(tree: Path) -> str:
    """Return the command line of the type ``web``; empty when there is none, or the file cannot be read."""
    try:
        return read(tree).get("web", "")
    except CorpusError:
        return ""


def for_shell(command: str) -> str:
    """Return a command line so that a shell becomes the program, as far as the line allows it.

    Signals then reach the program itself: ``exec`` stands before the last command of an ``a && b``, and before what
    sets variables (``A=1 program``) stands ``env``. Anything with other operators is left to the shell as it is.
    """
    head, last = _split(command)
    if last is None:
        return command
    return f"{head}exec {'env ' if _ASSIGNMENT.match(last) else ''}{last}"


def _split(command: str) -> tuple[str, str | None]:
    """Cut a line before the last command of a chain of ``&&``; None: it has other operators, or is none."""
    lexer = shlex.shlex(command, posix=False, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        return "", None
    operators = [word for word in words if set(word) <= set("();|&<>")]
    others = [word for word in operators if word not in ("&&", ">", ">>", "<", ">&", "<&")]
    if others or not words or "`" in command or "$(" in command:
        return "", None
    if "&&" not in operators:
        return "", command.strip() if words[0] != "exec" else None
    position = command.rindex("&&") + 2
    if command[position:].count("'") % 2 or command[position:].count('"') % 2:
        return "", None
    last = command[position:].strip()
    return (command[:position] + " ", last) if last and not last.startswith("exec ") else ("", None)
