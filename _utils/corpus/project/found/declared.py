"""What files of a tree declare whatever its installer is: ``.env``, ``app.json``, ``Procfile``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.project.found import app_json, dotenv, procfile


@dataclass(frozen=True)
class Declared:
    """What a tree declares of itself.

    :param values: configuration keys and values by the file that says them, weakest first; taken literally
    :param notes: lines about what of it does not apply here
    """

    values: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()

    @property
    def processes(self) -> bool:
        """Whether the tree says itself what runs: then an installer's own idea of it does not count."""
        return bool(set(self.values.get(procfile.NAME, {}).get("processes", {})) - {procfile.RELEASE})


def read(tree: Path) -> Declared:
    """Read what a tree declares of itself.

    :raises UsageError: one of its files is not as it should be; the message names the place
    """
    values: dict[str, Mapping[str, Any]] = {}
    for name in dotenv.NAMES:
        env = dotenv.read(tree, name)
        if env:
            values[name] = {"env": env}
    commands = procfile.read(tree)
    said, notes = app_json.read(tree, commands)
    if said:
        values[app_json.NAME] = said
    if commands:
        values[procfile.NAME] = {"processes": commands}
    return Declared(values, tuple(notes))
