"""``.env.defaults`` and ``.env`` in a tree: values of environment variables for when nobody sets others.

They are read as dotenv reads them, quotes and escapes included, but nothing of our own environment is put in.
``.env.example`` and ``.env.<environment>`` are for people and for other tools, and are not read.
"""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from corpus.errors import ConfigurationError
from corpus.project.found import files

#: weakest first
NAMES = (".env.defaults", ".env")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read(tree: Path, name: str) -> dict[str, str]:
    """Return the variables that a file of the tree gives a value; empty when there is no such file.

    :raises ConfigurationError: a line is not ``NAME=value``
    """
    found = {}
    for binding in parse_stream(StringIO(files.text(tree, name) or "")):
        if binding.error or not _NAME.fullmatch(binding.key or "A") or "\0" in (binding.value or ""):
            raise ConfigurationError(f"{name}, line {binding.original.line}: expected NAME=value.")
        if binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    return found
