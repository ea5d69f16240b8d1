"""What is found in a pushed tree: which installer is for it, and what it says of itself where nobody configured more.

Each installer has a module here of its name with two functions: ``look(tree)`` says why the tree is one of its own, or
None; ``values(tree)`` are the configuration keys that follow from such a tree. Nothing of a tree is run or imported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from corpus.project.found import django, generic, nodejs, php, procfile, python, static, zope

#: in this order they are asked: the more special one first, who serves files alone last
ORDER: dict[str, ModuleType] = {
    "zope": zope,
    "django": django,
    "php": php,
    "python": python,
    "nodejs": nodejs,
    "static": static,
    "generic": generic,
}

#: what :func:`look` looks for, in words for a person whose tree has none of it
LOOKED_FOR = (
    "Procfile, manage.py, requirements.txt, pyproject.toml, uv.lock, poetry.lock, Pipfile, setup.py, package.json, "
    "composer.json, index.php, buildout.cfg, index.html"
)


@dataclass(frozen=True)
class Found:
    """What a tree says of itself.

    :param installer: name of the installer that is for it
    :param why: what was found, in a few words
    :param values: configuration keys that follow from it, weaker than everything that somebody configured
    """

    installer: str
    why: str
    values: Mapping[str, Any] = field(default_factory=dict)


def look(tree: Path, offered: Collection[str]) -> Found | None:
    """Return which installer is for a tree, or None when nothing in it can be recognized.

    :param tree: absolute
    :param offered: names of the installers that there are
    """
    for name, module in _order(tree):
        if name in offered and (why := module.look(tree)):
            return Found(name, why, values(tree, name))
    return None


def _order(tree: Path) -> list[tuple[str, ModuleType]]:
    """Python and Node trees often have some of the other's files, for assets or tools: the Procfile tells which runs."""
    rows = list(ORDER.items())
    web = procfile.web(tree)
    if nodejs.starts(web) or (not web and nodejs.serves(tree) and not python.serves(tree)):
        rows.sort(key=lambda row: (row[0] != "nodejs", list(ORDER).index(row[0])))
    return rows


def values(tree: Path, installer: str) -> dict[str, Any]:
    """Return the configuration keys that follow from a tree when ``installer`` is used; none for one of somebody's own."""
    module = ORDER.get(installer)
    return dict(module.values(tree)) if module else {}
