"""Seeds: the files of a container that is not made yet, left by the controller over ssh, used once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpus import files
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import host_name, shown
from corpus.node.containers import Container, Root
from corpus.node.storage import Pool

FOLDER = Path("/run/corpus/seeds")
#: In a container: the uuid of the guest that it was made for
_MARK = "/etc/corpus/guest"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@contextmanager
def taken(name: str, folder: Path = FOLDER) -> Iterator[dict[str, str]]:
    """Give a container's seed to the block; when that is over without an error, the seed is gone.

    :returns: texts by absolute path
    :raises CorpusError: there is none, or others than its owner can read it
    """
    path = folder / f"{host_name(name)}.json"
    found = files.read_json(path)
    if not isinstance(found, dict):
        raise CorpusError(f"There is no seed for {name} ({path}): the controller leaves one.")
    if path.stat().st_mode & 0o077:
        path.unlink()
        raise CorpusError(f"Others could read the seed of {name} ({path}): it is removed, ask for the guest again.")
    yield {str(key): str(value) for key, value in found.items()}
    path.unlink(missing_ok=True)


def mark(guest: str | None) -> dict[str, str]:
    """Return the file that says which guest a container is made for; none for no guest.

    :raises UsageError: it is no uuid
    """
    if guest is None:
        return {}
    if not _UUID.fullmatch(str(guest)):
        raise UsageError(f"{shown(guest)} is no uuid of a guest.")
    return {_MARK: f"{guest}\n"}


def owner(pool: Pool, name: str) -> str | None:
    """Return the uuid of the guest that a container was made for, or None."""
    container = Container(pool, name)
    wish = container.specification()
    try:
        told = Root(pool.driver.layers(container.home, container.image(wish))).read(_MARK)
    except ValueError:  # whoever is root in it wrote something else there
        return None
    found = (told or "").strip()
    return found if _UUID.fullmatch(found) else None


def same(pool: Pool, name: str, guest: str | None) -> None:
    """:raises UsageError: the container was not made for this guest"""
    if guest is None or owner(pool, name) != guest:
        raise UsageError(f"There is a container {name} already, made for something else: destroy it first.")
