"""The registry of a project: credentials that corpus made for it, and the variables by which its processes get them.

One JSON file that nobody else can read, every leaf of it encrypted with the project's key. It is no part of the tree,
of an archive or of a release; the last archive of a project that is destroyed takes it along, sealed.
"""

from __future__ import annotations

import copy
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from corpus import files, secrets
from corpus.project.layout import Layout


def opened(layout: Layout) -> dict[str, Any]:
    """Return the whole registry in the clear; empty before anything was written to it.

    :raises CorpusError: it is damaged, or the project's key is gone
    """
    return dict(secrets.Vault(layout.key).opened(files.read_json(layout.registry, {})))


def environment(layout: Layout) -> dict[str, str]:
    """Return the environment variables that the registry brings; the configuration's own ``env`` beats them."""
    return {name: str(value) for name, value in opened(layout).get("env", {}).items()}


def secret_texts(layout: Layout) -> set[str]:
    """Return what of the registry nobody must see: passwords, alone and inside of urls. Names are no secrets."""
    held = opened(layout)
    databases = held.get("databases", {}).values()
    return secrets.found_in(held, held) - {str(entry.get(name)) for entry in databases for name in ("name", "user")}


@contextmanager
def changing(layout: Layout) -> Iterator[dict[str, Any]]:
    """Hand out the registry in the clear, to be changed in place; it is saved when the block ends without an error.

    One process at a time: another one waits. Nothing is written when nothing changed.
    """
    with (layout.own / "registry.lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        before = opened(layout)
        held = copy.deepcopy(before)
        yield held
        if held != before:
            files.write_json(layout.registry, secrets.Vault(layout.key).sealed(held, inside=True))


def stamp(layout: Layout) -> tuple[int, int] | None:
    """Return what tells one state of the registry from another without reading it, or None when there is none."""
    try:
        found = layout.registry.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
