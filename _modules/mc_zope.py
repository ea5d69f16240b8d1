"""
Zope sites
==========

What the ``zope`` installer's sls need to know about a tree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.door import translated
from corpus.project import buildout
from corpus.project.python import interpreters

__virtualname__ = "mc_zope"


def __virtual__():
    return __virtualname__


def requirements(cfg: dict[str, Any]) -> str:
    """
    Return pip's arguments for what bootstraps the buildout: ``requirements.txt``, or zc.buildout as the tree pins it.

    cfg
        The project's configuration.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_zope.requirements "{project_root: /srv/projects/site/project, data: {zope: {buildout: buildout.cfg}}}"
    """
    with translated():
        tree = Path(cfg["project_root"])
        if (tree / "requirements.txt").is_file():
            return "--requirement requirements.txt"
        version = buildout.read(tree, cfg["data"]["zope"]["buildout"]).version
        return f"zc.buildout=={version}" if version else "zc.buildout"


def interpreter(cfg: dict[str, Any]) -> str:
    """
    Return the path of the Python that the buildout is made with.

    cfg
        The project's configuration; ``data.zope.interpreter`` names a command or a path.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_zope.interpreter "{user: site, data: {zope: {interpreter: python3}}}"
    """
    with translated():
        return interpreters.interpreter(cfg["data"]["zope"]["interpreter"], cfg.get("user")).path
