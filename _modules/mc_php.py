"""
PHP applications
================

What the ``php`` installer's sls need to know about a tree and about this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.door import translated
from corpus.project import php

__virtualname__ = "mc_php"


def __virtual__():
    return __virtualname__


def prepared(cfg: dict[str, Any]) -> dict[str, Any]:
    """
    Return what the tree adds to its configuration: the folders that are kept in ``data/``.

    cfg
        The project's configuration.

    Returns: Keys of the configuration, to be merged into it.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_php.prepared "{project_root: /srv/projects/shop/project, data: {php: {}}}"
    """
    with translated():
        tree = Path(cfg["project_root"])
        wanted = cfg["data"]["php"]
        found = php.shape(tree, cfg["document_root"])
        data = {
            **wanted,
            "shape": found.kind,
            "kept": list(found.kept) if wanted["kept"] is None else wanted["kept"],
            "of_release": list(found.of_release) if wanted["of_release"] is None else wanted["of_release"],
            "uploads": list(found.uploads),
        }
        return {"data": {**cfg["data"], "php": data}}


def composer(cfg: dict[str, Any]) -> str:
    """
    Return the command line by which Composer installs what is locked, or an empty text.

    cfg
        The project's configuration.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_php.composer "{project_root: /srv/projects/shop/project, data: {php: {version: 8.2}}}"
    """
    with translated():
        tree, wanted = Path(cfg["project_root"]), cfg["data"]["php"]
        return php.install_command(tree, php.chosen(tree, wanted["version"]), wanted["composer"])


def composer_environment(cfg: dict[str, Any]) -> dict[str, str]:
    """
    Return the variables that Composer wants.

    cfg
        The project's configuration.

    CLI Example:

    .. code-block:: bash

        salt-call --local mc_php.composer_environment "{home: /srv/projects/shop/home}"
    """
    return php.composer_environment(cfg["home"])
