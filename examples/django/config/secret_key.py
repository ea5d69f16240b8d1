"""The secret key: made once, and kept where deployments do not reach."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def kept_secret_key(path: Path) -> str:
    """Return the key in ``path``; when there is none yet, make one that only its owner can read."""
    if not path.exists():
        _keep(path, get_random_secret_key())
    return path.read_text(encoding="ascii")


def _keep(path: Path, key: str) -> None:
    # Workers start together. A link appears whole or not at all, and the second to make it is told so.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as draft:
        draft.write(key)
        draft.flush()
        with suppress(FileExistsError):
            os.link(draft.name, path)
