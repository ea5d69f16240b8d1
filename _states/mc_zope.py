"""
Zope sites
==========

States of the ``zope`` installer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import processes
from corpus.errors import CorpusError
from corpus.project import buildout

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_zope"


def __virtual__():
    return __virtualname__


def _answer(name: str, result: bool | None, comment: str, changes: Any = None) -> dict[str, Any]:
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}


def prepared(name: str) -> dict[str, Any]:
    """
    Put into the tree what corpus adds to a buildout (folder ``.zope``): a configuration with caches, the launcher.

    name
        Any text.

    .. code-block:: yaml

        {{ cfg.name }}-zope:
          mc_zope.prepared
    """
    cfg = __opts__["ms_project"]
    tree, user = Path(cfg["project_root"]), cfg["user"]
    try:
        found = buildout.read(tree, cfg["data"]["zope"]["buildout"])
        instance = buildout.instance(cfg, found)
        wish = {"buildout.cfg": buildout.overlay(cfg), "serve.py": buildout.launcher(instance)}
        folder = tree / buildout.FOLDER
        if all((folder / path).is_file() and (folder / path).read_text() == text for path, text in wish.items()):
            return _answer(name, True, f"The instance {instance} will serve.")
        if __opts__["test"]:
            return _answer(name, None, f"The instance {instance} would serve.", {"files": sorted(wish)})
        processes.run(["mkdir", "-p", "--", folder], user=user, cwd="/")
        for path, text in wish.items():
            processes.write(folder / path, text, 0o644, user)
    except CorpusError as err:
        return _answer(name, False, str(err))
    return _answer(name, True, f"The instance {instance} will serve.", {"files": sorted(wish)})
