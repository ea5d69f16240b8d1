"""What two people may edit at once: who changes it names what they read, and is refused when it is something else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from corpus.errors import Conflict


def digest(content: Any) -> str:
    """Return what a content is known by.

    :param content: JSON
    """
    words = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def unchanged(was: object, content: Any) -> None:
    """See that a content is what somebody read.

    :param was: its digest then; None: they did not say
    :raises Conflict: it is another one
    """
    if was is not None and was != digest(content):
        raise Conflict("It was changed meanwhile: read it again, and change that.")
