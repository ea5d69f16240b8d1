"""
PHP applications
================

States of the ``php`` installer. Both work on the project whose sls is being run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import processes
from corpus.errors import CorpusError
from corpus.project import php

if TYPE_CHECKING:
    __opts__: dict[str, Any]

__virtualname__ = "mc_php"


def __virtual__():
    return __virtualname__


def _answer(name: str, result: bool | None, comment: str, changes: Any = None) -> dict[str, Any]:
    return {"name": name, "result": result, "comment": comment, "changes": changes or {}}


def ready(name: str) -> dict[str, Any]:
    """
    Check that this machine has what the application requires: PHP of that version, extensions, a lock that is up to date.

    name
        Any text.

    .. code-block:: yaml

        {{ cfg.name }}-php:
          mc_php.ready
    """
    cfg = __opts__["ms_project"]
    tree = Path(cfg["project_root"])
    try:
        chosen = php.chosen(tree, cfg["data"]["php"]["version"])
        php.check_extensions(tree, chosen)
        if php.composer_json(tree):
            php.check_lock(tree, chosen, cfg["user"], cfg["home"])
    except CorpusError as err:
        return _answer(name, False, str(err))
    return _answer(name, True, f"PHP {chosen.version} has what the application requires.")


def web_process(name: str) -> dict[str, Any]:
    """
    Put the launcher of the web process with its settings into the tree (folder ``.php-web``).

    name
        Any text.

    .. code-block:: yaml

        {{ cfg.name }}-web:
          mc_php.web_process
    """
    cfg = __opts__["ms_project"]
    tree, user, wanted = Path(cfg["project_root"]), cfg["user"], cfg["data"]["php"]
    try:
        chosen = php.chosen(tree, wanted["version"])
        settings = php.web_settings(cfg, tree, chosen, wanted["uploads"])
        php.check_pool(chosen, settings)
        values = {"opcache.validate_timestamps": cfg["operation_mode"] == "editable", **wanted["ini"]}
        wish = php.web_files(settings, php.ini(values), user)
        different = [path for path, (content, mode) in wish.items() if _differs(tree / path, content, mode)]
        if not different:
            return _answer(name, True, "The web process is in place.")
        if __opts__["test"]:
            return _answer(name, None, "The web process would be put into the tree.", {"files": different})
        for path in different:
            processes.run(["mkdir", "-p", "--", (tree / path).parent], user=user, cwd="/")
            processes.write(tree / path, *wish[path], user)
    except CorpusError as err:
        return _answer(name, False, str(err))
    return _answer(name, True, f"PHP {chosen.version} will serve {settings['document_root']}/.", {"files": different})


def _differs(path: Path, content: str, mode: int) -> bool:
    try:
        return path.is_symlink() or path.read_text(encoding="utf-8") != content or path.stat().st_mode & 0o777 != mode
    except (OSError, UnicodeDecodeError):
        return True
