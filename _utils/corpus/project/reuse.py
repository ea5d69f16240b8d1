"""Dependencies that need not be installed again: a copy of what runs, when it was made from the same.

What a folder of dependencies was made from is a digest in a file inside of it. A copy, never a hard link: a new
version may write into its own dependencies, and the one that runs must not notice. Where the file system can, the copy
shares its blocks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from corpus.project import commands, manifests

_MARK = ".corpus-made-from"
#: how environments are made; counts as an input, so that another way makes them anew
_WAY = "2"


def digest(tree: Path, files: tuple[str, ...], **facts: Any) -> str:
    """Return what tells one set of dependencies from another.

    :param files: of the tree, that say what is installed
    :param facts: whatever else decides the result: versions of interpreter and installer, options
    """
    parts = {name: hashlib.sha256(manifests.text(tree, name).encode()).hexdigest() for name in sorted(files)}
    return hashlib.sha256(json.dumps([_WAY, parts, facts], sort_keys=True, default=str).encode()).hexdigest()


def mark(folder: Path, made_from: str) -> list[str]:
    """Return the command that notes what a folder was made from: its owner writes, not we."""
    return ["/bin/sh", "-c", 'printf %s "$2" > "$1"', "sh", str(folder / _MARK), made_from]


def made_from(folder: Path) -> str:
    """Return what a folder notes that it was made from; empty when it does not."""
    return manifests.text(folder, _MARK)


def take(
    cfg: Mapping[str, Any], name: str, wanted: str, say: Callable[[str], None], source: Path | None = None
) -> bool:
    """Copy a folder of dependencies from the version that runs, when it was made from the same.

    :param name: of the folder, relative to the tree
    :param wanted: the digest that it must have been made from
    :param source: the folder to copy; None: that of the running version
    :returns: whether it is there now
    """
    previous = cfg.get("previous_root")
    if source is None and not previous:
        return False
    old = source or Path(str(previous)) / name
    if not old.is_dir() or old.is_symlink() or made_from(old) != wanted:
        return False
    target = Path(cfg["project_root"]) / name
    if target.exists():
        return False
    try:
        commands.run(cfg, ["cp", "-a", "--reflink=auto", str(old), str(target)], say)
    except commands.CommandFailed:
        commands.run(cfg, ["rm", "-rf", str(target)], say)
        return False
    return True
