"""``.env.defaults`` and ``.env`` in a tree: values of environment variables for when nobody sets others.

They are read as dotenv reads them, quotes and escapes included, but nothing of our own environment is put in.
``.env.example`` and ``.env.<environment>`` are for people and for other tools, and are not read.
"""

from __future__ import annotations

from pathlib import Path

from corpus import dotenv
from corpus.project import manifests

#: weakest first
NAMES = (".env.defaults", ".env")


def read(tree: Path, name: str) -> dict[str, str]:
    """Return the variables that a file of the tree gives a value; empty when there is no such file.

    :raises UsageError: a line is not ``NAME=value``
    """
    return dotenv.parsed(manifests.small_text(tree, name) or "", name)
