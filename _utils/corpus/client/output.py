"""What is shown: tables to people, plain lines to pipes, JSON to machines. Results go to stdout, all else to stderr."""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

#: What is copied and must not be broken.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Of what is known of one thing, that which is told in bytes.
_BYTES = re.compile(r"(^|[._])(bytes|memory|storage\.size|free)$")
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Output:
    """Where a command shows what it found.

    :param as_json: show JSON alone
    :param verbose: tell of requests, too
    """

    def __init__(self, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json, self.verbose = as_json, verbose
        self.to_person = sys.stdout.isatty() and not as_json
        self.out, self.err = Console(highlight=False), Console(stderr=True, highlight=False)

    def note(self, line: str) -> None:
        """Tell of a request, when that was asked for."""
        if self.verbose:
            self.say(line, "dim")

    def say(self, line: str, style: str = "") -> None:
        """Say something beside the result."""
        self.err.print(Text(harmless(line), style=style), soft_wrap=True)

    def line(self, text: str) -> None:
        """Show a line of the result."""
        sys.stdout.write(f"{harmless(text) if self.to_person else text}\n")
        sys.stdout.flush()

    def json(self, value: Any) -> None:
        """Show a value as JSON."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False))

    def json_line(self, value: Any) -> None:
        """Show one of many values as JSON."""
        self.line(json.dumps(value, ensure_ascii=False))

    def rows(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Show a list.

        :param columns: ``key`` or ``key:kind``; a key may reach into mappings by dots, and a kind is ``bytes``, ``time``
            or ``seconds``
        """
        found = [dict(one) for one in rows]
        if self.as_json:
            self.json(found)
            return
        wanted = [column.partition(":")[::2] for column in columns]
        if not self.to_person:
            for one in found:
                self.line("\t".join(_plain(_reached(one, key)) for key, _kind in wanted))
            return
        if not found:
            self.say("There is none.", "dim")
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        cells = [[_shown(_reached(one, key), kind) for key, kind in wanted] for one in found]
        for at, (key, kind) in enumerate(wanted):
            whole = any(_UUID.fullmatch(row[at].plain) for row in cells)
            side: JustifyMethod = "right" if kind in ("bytes", "seconds") else "left"
            table.add_column(key.rsplit(".", 1)[-1].replace("_", " "), justify=side, overflow="fold", no_wrap=whole)
        for row in cells:
            table.add_row(*row)
        self.out.print(table)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Show what is known of one thing."""
        if self.as_json:
            self.json(facts)
            return
        flat = list(_flat(facts))
        if not self.to_person:
            for key, value in flat:
                self.line(f"{key}\t{_plain(value)}")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for key, value in flat:
            if value not in (None, "", [], {}):
                table.add_row(key, _shown(value, "bytes" if _BYTES.search(key) else "time"))
        self.out.print(table)


def harmless(text: str) -> str:
    """Return a text without what would drive a terminal: it comes from elsewhere."""
    return "".join(char if char in "\n\t" or char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _reached(row: Mapping[str, Any], key: str) -> Any:
    found: Any = row
    for word in key.split("."):
        found = found.get(word) if isinstance(found, Mapping) else None
    return found


def _flat(facts: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for at, one in enumerate(value):
                yield from _flat(one, f"{before}{key}.{at}.")
        else:
            yield f"{before}{key}", value


def _plain(value: Any) -> str:
    """A value for a pipe: one word or more, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, (str, int, float)) for one in value):
        return ",".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split()) if "\n" in text or "\t" in text else text


def _shown(value: Any, kind: str) -> Text:
    """A value for a person."""
    if value in (None, "", [], {}):
        return Text("-", style="dim")
    if kind == "bytes" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return Text(size(value))
    if kind == "time" and isinstance(value, str):
        return Text(moment(value))
    if kind == "seconds" and isinstance(value, (int, float)):
        return Text(f"{value:.1f} s")
    words = harmless(", ".join(map(str, value)) if isinstance(value, list) else _plain(value))
    return Text(words, style=_COLOURS.get(words, ""))


#: States that catch the eye.
_COLOURS = {
    **dict.fromkeys(("running", "ready", "done", "deployed", "ok", "success"), "green"),
    **dict.fromkeys(("failed", "undone", "error", "rolled back"), "red"),
    **dict.fromkeys(("creating", "moving", "deleting", "undoing", "draining", "attaching", "planned"), "yellow"),
}


def size(count: float) -> str:
    """Return a number of bytes in words."""
    at = 0
    while abs(count) >= 1024 and at < len(_UNITS) - 1:
        count, at = count / 1024, at + 1
    return f"{count:.0f} {_UNITS[at]}" if at == 0 or abs(count) >= 100 else f"{count:.1f} {_UNITS[at]}"


def moment(text: str) -> str:
    """Return a time as the person's clock has it; anything else as it is."""
    if len(text) < 19 or text[4:5] != "-" or text[10:11] not in ("T", " "):
        return harmless(text)
    try:
        found = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return harmless(text)
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.timezone.utc)
    return found.astimezone().strftime("%Y-%m-%d %H:%M")
