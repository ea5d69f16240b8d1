"""Python's compiled files: those that hold wherever their source is unpacked, and those that Python would write again.

A compiled file names what it was made from by the time stamp of the source, which unpacking changes, or by the source's
hash (PEP 552), which stays.
"""

from __future__ import annotations

from pathlib import Path, PurePath

_FOLDER = "__pycache__"
#: magic number, then the flags: none means that the time stamp of the source follows
_FLAGS = slice(4, 8)


def is_cached(path: PurePath) -> bool:
    """Tell whether Python makes this file by itself when it runs: ``__pycache__/*.pyc``."""
    return path.suffix == ".pyc" and path.parent.name == _FOLDER


def passes(path: Path) -> bool:
    """Tell whether a path is a compiled file that Python would write again elsewhere, or a folder with nothing but such."""
    if path.name == _FOLDER and path.is_dir() and not path.is_symlink():
        return all(passes(entry) for entry in path.iterdir())
    if not is_cached(path) or path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return not any(stream.read(_FLAGS.stop)[_FLAGS])
