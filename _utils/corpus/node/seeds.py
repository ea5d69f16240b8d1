"""Seeds: the files of a container that is not made yet, left by the controller over ssh, used once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpus import files
from corpus.errors import CorpusError
from corpus.identifiers import host_name

FOLDER = Path("/run/corpus/seeds")


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
