"""
Environments of Python applications
===================================

What the installers ``python`` and ``django`` do in their stages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.door import state
from corpus.project.python.environment import Environment

if TYPE_CHECKING:
    __context__: dict[str, Any]
    __opts__: dict[str, Any]

__virtualname__ = "mc_python"


def __virtual__():
    return __virtualname__


def environment(name: str) -> dict[str, Any]:
    """
    Make sure that the project's virtual environment holds what its tree asks for.

    By ``uv.lock``, ``pylock.toml``, ``poetry.lock``, ``Pipfile.lock``, requirements files, ``pyproject.toml`` or
    ``setup.py``: the first that is there. When the running version's was made from the same, it is taken over.

    name
        The folder of the environment; for the report.

    .. code-block:: yaml

        {{ cfg.name }}-environment:
          mc_python.environment:
            - name: {{ cfg.project_root }}/venv
    """

    def make(cfg, say):
        outcome = Environment(cfg, say).make()
        return outcome.words, {} if outcome.reused else {name: "made"}

    return state(name, __opts__, __context__, make)
