"""
Python applications
===================

What the ``python`` installer's sls need to know about a tree and about this machine.
"""

from __future__ import annotations

from typing import Any

from corpus.door import translated
from corpus.project import python

__virtualname__ = "mc_python"


def __virtual__():
    return __virtualname__


def uv(cfg: dict[str, Any]) -> str:
    """
    Return the path of a ``uv`` that the project's user may run, or an empty text.

    cfg
        The project's configuration.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_python.uv "{user: shop}"
    """
    return python.uv(cfg.get("user"))


def interpreter(cfg: dict[str, Any]) -> str:
    """
    Return the path of the Python that makes the project's environment: one that the project's user may run.

    cfg
        The project's configuration; ``data.python.interpreter`` names a command or a path.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_python.interpreter "{user: shop, data: {python: {interpreter: python3.12}}}"
    """
    with translated():
        return python.interpreter(cfg["data"]["python"]["interpreter"], cfg.get("user"))


def requirements(cfg: dict[str, Any]) -> list[str]:
    """
    Return those of the configured requirements files that exist in the tree.

    cfg
        The project's configuration: ``project_root`` and ``data.python.requirements``.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_python.requirements "{project_root: /srv/projects/shop/project, data: {python: {requirements: [requirements.txt]}}}"
    """
    return python.requirements(cfg["project_root"], cfg["data"]["python"]["requirements"])


def is_package(cfg: dict[str, Any]) -> bool:
    """
    Tell whether the tree itself can be installed: it has a ``pyproject.toml`` with a project, or a ``setup.py``.

    cfg
        The project's configuration: ``project_root``.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_python.is_package "{project_root: /srv/projects/shop/project}"
    """
    return python.is_package(cfg["project_root"])
