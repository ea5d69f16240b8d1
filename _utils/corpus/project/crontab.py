"""Commands that run by the clock: the key ``cron``, as a file for cron(8), by the one-off runner of the release that runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import ConfigurationError
from corpus.identifiers import shown
from corpus.project.layout import Layout

_FOLDER = Path("/etc/cron.d")
_LONGEST = 900  # cron reads lines of up to 998 characters
_NICKNAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@reboot")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: what each field of a schedule may hold: name, lowest, highest, names (crontab(5))
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_PART = re.compile(r"(\*|(\w+)(?:-(\w+))?)(?:/([0-9]+))?")


def entries(cfg: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the schedules and commands of a project.

    :raises ConfigurationError: an entry cannot be
    """
    found = []
    for entry in cfg["cron"]:
        if not isinstance(entry, Mapping) or set(entry) != {"schedule", "command"}:
            raise ConfigurationError(f"cron: {shown(entry)}: an entry has a schedule and a command.")
        command = entry["command"]
        if not isinstance(command, str) or not command.strip() or not command.isprintable() or len(command) > _LONGEST:
            raise ConfigurationError(
                f"cron: {shown(command)} is no command: one line of at most {_LONGEST} characters."
            )
        found.append((schedule(entry["schedule"]), command.strip()))
    return found


def schedule(text: object) -> str:
    """Return a schedule when cron understands it.

    :raises ConfigurationError: it does not
    """
    if isinstance(text, str) and text in _NICKNAMES:
        return text
    fields = text.split() if isinstance(text, str) else []
    if len(fields) != len(_FIELDS):
        raise ConfigurationError(
            f"cron: {shown(text)} is no schedule: minute, hour, day of month, month and day of week, or {', '.join(_NICKNAMES)}."
        )
    for field, (what, lowest, highest, names) in zip(fields, _FIELDS, strict=True):
        if not all(_part(part, lowest, highest, names) for part in field.split(",")):
            raise ConfigurationError(f"cron: {shown(text)}: {shown(field)} is no {what} ({lowest}-{highest}).")
    return " ".join(fields)


def _part(part: str, lowest: int, highest: int, names: Sequence[str]) -> bool:
    read = _PART.fullmatch(part)
    if not read or (read[4] is not None and not 1 <= int(read[4]) <= highest):
        return False
    numbers = []
    for end in (read[2], read[3]):
        if end is not None:
            if end.lower() in names:
                numbers.append(names.index(end.lower()) + lowest)
            elif end.isdecimal() and lowest <= int(end) <= highest:
                numbers.append(int(end))
            else:
                return False
    return numbers == sorted(numbers)


def path(layout: Layout) -> Path:
    """Return where a project's file for cron lies."""
    return _FOLDER / f"corpus-{layout.name}"


def text(layout: Layout, wanted: Sequence[tuple[str, str]], call: Sequence[str]) -> str:
    """Return the file for cron.

    :param call: the command that runs a one-off process, to which ``command=…`` is added
    """
    return "\n".join(_rows(layout, wanted, call)) + "\n"


def _rows(layout: Layout, wanted: Sequence[tuple[str, str]], call: Sequence[str]) -> Iterator[str]:
    yield f"# Written by corpus for {layout.name}. Each runs as the project's user, in the release that runs then."
    yield "SHELL=/bin/sh"
    yield "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    yield 'MAILTO=""'
    for when, command in wanted:
        line = f"{shlex.join([*call, f'command={command}'])} 2>&1 | logger -t {shlex.quote(f'corpus-{layout.name}')}"
        yield f"{when} root {line}".replace("%", "\\%")  # which cron would take for the end of the line


def register(layout: Layout, cfg: Mapping[str, Any], call: Sequence[str], privileged: bool) -> str:
    """Bring a project's file for cron in line with its configuration; return what there is to say.

    :param call: see :func:`text`
    :param privileged: whether we may write there
    """
    wanted = entries(cfg)
    if not wanted:
        if privileged:
            forget(layout)
        return ""
    if not privileged or not _FOLDER.is_dir():
        why = "corpus does not run as root" if _FOLDER.is_dir() else "cron is not installed (apt-get install cron)"
        return f"cron: {len(wanted)} commands are not run by the clock here: {why}."
    files.write(path(layout), text(layout, wanted, call), 0o644)
    return ""


def forget(layout: Layout) -> None:
    """Remove a project's file for cron."""
    path(layout).unlink(missing_ok=True)
