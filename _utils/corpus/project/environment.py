"""The application's own environment: variables that somebody set for its processes, apart from tree and pillar."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

from corpus import secrets
from corpus.errors import ConfigurationError, UsageError
from corpus.identifiers import shown

#: what corpus itself gives to processes: nobody else may
RESERVED = frozenset({"PORT", "PATH", "HOME", "DATA_ROOT"})
RESERVED_PREFIXES = ("CORPUS_", "SUPERVISOR_")
#: bytes that one value may have, and all of them together: the kernel hands a process no more than 128 KiB in one piece
VALUE_LIMIT, WHOLE_LIMIT = 64 << 10, 1 << 20

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
#: words that anybody would guess: to hide them would only make a log unreadable
_EVERYBODYS = frozenset({"production", "staging", "development", "disabled", "enabled", "warning"})
_PUBLIC = re.compile(r"[0-9.,:]{1,9}|(true|false|none|null|yes|no)|\.{0,2}/[A-Za-z0-9_./-]*", re.IGNORECASE)


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


def check(env: Mapping[object, object]) -> None:
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


def text(value: object) -> str:
    """Return a value as the text that a person would have typed, when Salt took it for something else.

    >>> text(True), text(8080), text([1, 2])
    ('true', '8080', '[1, 2]')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (Mapping, list)) else str(value)


def as_typed(arguments: Iterable[object], parsed: Mapping[str, Any]) -> dict[str, str]:
    """Return ``parsed`` as texts, each as it stands on the command line where it does.

    :param arguments: words of the command line
    :param parsed: what Salt, for which every value is YAML, made of them
    """
    typed = dict(word.split("=", 1) for word in arguments if isinstance(word, str) and "=" in word)
    return {name: typed[name] if name in typed else text(value) for name, value in parsed.items()}


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


def variables(content: str, where: str = "from_file") -> dict[str, str]:
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
    return variables(content) if key is None else {key: content.removesuffix("\n")}


def secret_texts(env: object) -> set[str]:
    """Return the texts of an environment that nobody must see: all but short words, numbers and paths.

    A password may be a plain word. What anybody would guess is spared: a log full of stars helps nobody.
    """
    if not isinstance(env, Mapping):
        return set()
    found = secrets.found_in(env)
    for value in env.values():
        words = str(value).strip()
        if len(words) >= 6 and not _PUBLIC.fullmatch(words) and words.lower() not in _EVERYBODYS and "://" not in words:
            found.add(words)
    return found


def told(env: Mapping[str, Any], unmask: bool) -> dict[str, Any]:
    """Return an environment for a person: every value masked, unless ``unmask``; an empty one is seen to be empty."""
    return {
        name: text(value) if unmask else (secrets.MASK if text(value) else "") for name, value in sorted(env.items())
    }
