"""
Python applications
===================

What this machine has for a Python application, and what its tree says of itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.door import translated
from corpus.project.python import dependencies, interpreters

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
    return interpreters.uv(cfg.get("user"))


def interpreter(cfg: dict[str, Any]) -> str:
    """
    Return the path of the Python that makes the project's environment: one that the project's user may run.

    cfg
        The project's configuration: ``data.python.interpreter`` names a command or a path; not set: what the tree in
        ``project_root`` asks for (``.python-version``, ``runtime.txt``, ``requires-python``).

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_python.interpreter "{user: shop, data: {python: {interpreter: python3.12}}}"
    """
    with translated():
        wanted = cfg.get("data", {}).get("python", {}).get("interpreter")
        if wanted:
            return interpreters.interpreter(wanted, cfg.get("user")).path
        return interpreters.suitable(Path(cfg["project_root"]), cfg.get("user")).path


def dependencies_from(cfg: dict[str, Any]) -> list[str]:
    """
    Return the files that say what the project's environment holds: a lock and what it belongs to, or requirements.

    cfg
        The project's configuration: ``project_root`` and ``data.python.requirements``.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_python.dependencies_from "{project_root: /srv/projects/shop/project, data: {python: {requirements: [requirements.txt]}}}"
    """
    with translated():
        source = dependencies.chosen(Path(cfg["project_root"]), cfg["data"]["python"]["requirements"])
        return list(source.files) if source else []
