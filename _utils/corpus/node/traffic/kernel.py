"""The table as the kernel has it: asked for, tried, replaced in one transaction."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from corpus import processes
from corpus.errors import CorpusError
from corpus.node.traffic.table import FAMILIES, NAME


def check(text: str) -> None:
    """Let nft say whether the kernel would take a table; nothing changes.

    :raises CorpusError: it would not; the message has nft's words
    """
    _nft(["--check", "--file", "-"], text)


def replace(text: str) -> None:
    """Put a table in the place of the one that is there, in one transaction.

    :raises CorpusError: the kernel did not take it, and the one before is in force still
    """
    _nft(["--file", "-"], text)


def remove() -> None:
    """Take the table away; it need not be there."""
    _nft(["--file", "-"], "".join(f"table {family} {NAME}\ndelete table {family} {NAME}\n" for family in FAMILIES))


def listing() -> list[dict[str, Any]]:
    """Return what the kernel has of the table, as nft's JSON without handles; empty when a part is missing."""
    parts = [_listed(family) for family in FAMILIES]
    return [entry for part in parts for entry in part] if all(parts) else []


def _listed(family: str) -> list[dict[str, Any]]:
    done = processes.run(["nft", "--json", "--stateless", "list", "table", family, NAME], check=False)
    if done.status:
        if "No such file" in done.errors:
            return []
        raise CorpusError(f"nft cannot list the table {NAME}: {done.last_words}")
    try:
        found_objects = json.loads(done.output)["nftables"]
    except ValueError:  # nft 1.0.6 cannot write the flags of a table as JSON: ours has none
        return [{"unreadable": done.output}]
    objects = []
    for found in found_objects:
        for kind, value in found.items():
            if kind == "metainfo":
                continue
            value.pop("handle", None)
            if "elem" in value:
                value["elem"] = sorted(value["elem"], key=lambda element: json.dumps(element, sort_keys=True))
            objects.append({kind: value})
    return objects


def digest(listed: list[dict[str, Any]]) -> str:
    """Return by what a listing is known again; empty for no table."""
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest() if listed else ""


def ssh_ports(listed: list[dict[str, Any]]) -> dict[int, list[str]]:
    """Return where the node's ssh ports lead, by port: the guest's addresses."""
    found: dict[int, list[str]] = {}
    for entry in listed:
        if entry.get("map", {}).get("name") in ("ssh4", "ssh6"):
            for port, target in entry["map"].get("elem", ()):
                found.setdefault(port, []).append(target["concat"][0])
    return found


def _nft(words: list[str], text: str) -> None:
    done = processes.run(["nft", *words], stdin=text, check=False)
    if done.status:
        complaint = next((line for line in done.errors.splitlines() if "Error" in line), done.last_words)
        raise CorpusError(f"nft refuses the table {NAME}, and nothing was changed: {complaint.strip()}")
