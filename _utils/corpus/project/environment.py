"""The application's own environment: variables that somebody set for its processes, apart from tree and pillar."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from corpus import envelopes, secrets
from corpus.dotenv import meant_for
from corpus.project.minion import Minion

#: words that anybody would guess: to hide them would only make a log unreadable
_EVERYBODYS = frozenset({"production", "staging", "development", "disabled", "enabled", "warning"})
_PUBLIC = re.compile(r"[0-9.,:]{1,9}|(true|false|none|null|yes|no)|\.{0,2}/[A-Za-z0-9_./-]*", re.IGNORECASE)


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


def unsealed(sealed: str, name: str, minion: Minion) -> dict[str, str]:
    """Return the variables that a controller closed for this minion.

    :param name: of the project that they are for
    :raises UsageError: they are not for this minion, or not for this project
    """
    words = envelopes.opened(sealed, meant_for(name), Path(str(minion.opts["pki_dir"])) / "minion.pem")
    return {str(key): str(value) for key, value in json.loads(words).items()}


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
