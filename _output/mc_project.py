"""
Reports of deployments on a terminal
====================================

Prints what :py:mod:`mc_project` returns: a line for each stage, and more for what failed. ``--out json`` has it all.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import salt.utils.color
from corpus.project.telling import terminal

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_project"


def __virtual__():
    return __virtualname__


def output(data: dict[str, Any], **_: Any) -> str:
    """
    Return the text for what a function of :py:mod:`mc_project` returned.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_project.history shop
    """
    colors = salt.utils.color.get_colors(__opts__.get("color"), __opts__.get("color_theme"))
    watched = sys.stdout.isatty() and sys.stderr.isatty()
    return "\n".join(terminal.rendered(value, colors, seen=watched) for value in data.values())
