"""Environment variables as people write them: names, values, and ``.env`` files."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from io import StringIO
from typing import Any

from corpus.errors import ConfigurationError, UsageError
from corpus.identifiers import shown

#: what corpus itself gives to processes: nobody else may
RESERVED = frozenset({"PORT", "PATH", "HOME", "DATA_ROOT"})
RESERVED_PREFIXES = ("CORPUS_", "SUPERVISOR_")
#: bytes that one value may have, and all of them together: the kernel hands a process no more than 128 KiB in one piece
VALUE_LIMIT, WHOLE_LIMIT = 64 << 10, 1 << 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")


def check_name(name: object) -> str:
    """Return ``name`` when it can name an environment variable.

    :raises UsageError: it cannot, or corpus gives processes this one
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{shown(name)} cannot name an environment variable: use letters, digits and _, not beginning with a digit."
        )
    if name in RESERVED or name.startswith(RESERVED_PREFIXES):
        raise UsageError(f"{name} is given to processes by corpus itself: choose another name.")
    return name


def check(env: Mapping[Any, object]) -> None:
    """Find now what the kernel would refuse when a process is started with ``env``.

    :raises ConfigurationError: a name or a value that cannot be in an environment, or too much of it
    """
    total = 0
    for name, value in env.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(f"env: {shown(name)} cannot name an environment variable.")
        size = len(str(value).encode("utf-8", "surrogateescape"))
        total += len(name) + size
        if "\0" in str(value):
            raise ConfigurationError(f"env: the value of {name} has a NUL character, which no environment can hold.")
        if size > VALUE_LIMIT:
            raise ConfigurationError(
                f"env: the value of {name} has {size} bytes, more than {VALUE_LIMIT // 1024} KiB: "
                "put it in a file below data/ and its path in the variable."
            )
    if total > WHOLE_LIMIT:
        raise ConfigurationError(f"env: all variables together have {total} bytes, more than {WHOLE_LIMIT >> 20} MiB.")


def read(source: str) -> str:
    """Return what a file, or standard input (``-``), holds.

    :raises UsageError: it cannot be read, or is no text
    """
    try:
        if source == "-":
            return sys.stdin.buffer.read(2 * WHOLE_LIMIT).decode("utf-8")
        with open(source, "rb") as stream:
            return stream.read(2 * WHOLE_LIMIT).decode("utf-8")
    except OSError as err:
        raise UsageError(f"from_file: {source} cannot be read: {err.strerror}.") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"from_file: {source} is not UTF-8.") from err


def parsed(content: str, where: str = "from_file") -> dict[str, str]:
    """Return the variables of a ``.env`` file: ``NAME=value`` lines, quoted where a value has several lines.

    Values are taken as they are: ``$OTHER`` is not replaced.

    :param where: what the content is from, for the message
    :raises UsageError: a line is none of that
    """
    from dotenv.parser import parse_stream

    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(content)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise UsageError(f"{where}: line {binding.original.line} is not NAME=value.")
        if binding.key is not None:
            found[binding.key] = binding.value or ""
    return found


def from_file(source: str, key: str | None = None) -> dict[str, str]:
    """Return the variables of a ``.env`` file, or the one variable ``key`` whose value the whole file is.

    :param source: path, or ``-`` for standard input
    :raises UsageError: it cannot be read, or is no such file
    """
    content = read(str(source))
    return parsed(content) if key is None else {key: content.removesuffix("\n")}


def meant_for(name: str) -> str:
    """Return what variables of a project are about, for :mod:`corpus.envelopes`."""
    return f"environment of {name}"
