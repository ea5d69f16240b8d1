"""Settings that people edit as YAML: shown, and changed only while nobody else did."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any, TextIO

import click
import yaml

from .call import Call
from .errors import ClientError, WrongUse

#: The first line of what is shown: a file that has it is taken only while nothing was changed since.
_SHOWN = "# ETag: "


def settings(call: Call, path: str, edit: bool, file: TextIO | None) -> None:
    """Show the settings at a path; or change them to what a person writes.

    :param edit: let the person change them in their editor
    :param file: has what they shall be
    :raises ClientError: they were changed by somebody else since they were shown, or are none
    """
    answer = call.api.ask("GET", path)
    tag, was = answer.headers["ETag"], answer.json()
    shown = f"{_SHOWN}{tag}\n{yaml.safe_dump(was, sort_keys=False, allow_unicode=True)}"
    if not edit and file is None:
        if call.out.as_json:
            call.out.json(was)
        else:
            call.out.line(shown.rstrip("\n"))
        return
    text = _edited(shown) if file is None else file.read()
    first = text.partition("\n")[0]
    if first.startswith(_SHOWN):
        tag = first.removeprefix(_SHOWN).strip()
    try:
        wanted = _parsed(text)
        if wanted == was and file is None:
            call.out.say("Nothing was changed.")
            return
        call.change("PUT", path, wanted, headers={"If-Match": tag})
    except ClientError as err:
        if file is None:
            raise type(err)(f"{err} What you wrote is in {_kept(text)}.", err.status) from err
        raise


def _edited(shown: str) -> str:
    """What a person makes of a text.

    :raises WrongUse: nobody can be asked, or they saved nothing
    """
    if not sys.stdin.isatty():
        raise WrongUse("Nobody can edit here: give the settings by --file.")
    try:
        text = click.edit(shown, extension=".yaml")
    except click.ClickException as err:
        raise ClientError(f"{err.message}. Set EDITOR to one that there is.") from err
    if text is None:
        raise WrongUse("Nothing was saved, and nothing was changed.")
    return text


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise WrongUse(f"That is no YAML: {' '.join(str(err).split())}.") from err
    if not isinstance(found, dict):
        raise WrongUse("Settings are a mapping, as this command shows them.")
    return found


def _kept(text: str) -> str:
    """Keep what a person wrote; return where."""
    handle, name = tempfile.mkstemp(prefix="corpus-", suffix=".yaml")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return name
