"""The pack's state tree (its folder ``salt``): states of the controller, of compute nodes and of guests."""

from __future__ import annotations

from pathlib import Path

import corpus
from corpus.errors import ConfigurationError


def folder() -> Path:
    """Return the folder: beside the package (pip), or at the top of the checkout.

    :raises ConfigurationError: the pack was installed without it
    """
    package = Path(corpus.__file__).resolve().parent
    for place in (package / "state_tree", package.parent.parent / "salt"):
        if (place / "corpus").is_dir():
            return place
    raise ConfigurationError("The states of corpus (its folder 'salt') were not found: install the whole pack.")


def checkout() -> Path | None:
    """Return the checkout that the pack runs from; None: it was installed with pip."""
    top = Path(corpus.__file__).resolve().parent.parent.parent
    return top if (top / "setup.py").is_file() and (top / "_utils/corpus").is_dir() else None
