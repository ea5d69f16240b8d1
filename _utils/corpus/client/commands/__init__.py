"""The commands, a module for each noun."""

from __future__ import annotations

import importlib

#: In the order in which ``corpus --help`` has them.
MODULES = ("people", "nodes", "guests", "projects", "push", "dns", "controller", "operations")


def load() -> None:
    """Make every command known."""
    for name in MODULES:
        importlib.import_module(f".{name}", __name__)
