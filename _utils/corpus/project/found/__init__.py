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
    "composer.json, index.php, buildout.cfg, index.html, hugo.toml, mkdocs.yml, _config.yml"
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
    """Trees often have files of another kind, for assets, tools or documentation: what runs in them decides.

    The ``web`` line of the Procfile tells between Python and Node, else what looks like the application itself. A tree of
    pages may have a ``package.json`` or a ``requirements.txt`` for the tools that make them.
    """
    names = list(ORDER)
    web = procfile.web(tree)
    if nodejs.starts(web) or (not web and nodejs.serves(tree) and not python.serves(tree)):
        names = _before(names, "nodejs", names[0])
    elif not web and not python.serves(tree):
        if static.generator(tree):
            names = _before(names, "static", "python")
        elif not nodejs.builds(tree):
            names = _before(names, "static", "nodejs")
    return [(name, ORDER[name]) for name in names]


def _before(names: list[str], name: str, other: str) -> list[str]:
    rest = [one for one in names if one != name]
    place = rest.index(other) if other in rest else 0
    return [*rest[:place], name, *rest[place:]]


def values(tree: Path, installer: str) -> dict[str, Any]:
    """Return the configuration keys that follow from a tree when ``installer`` is used; none for one of somebody's own."""
    module = ORDER.get(installer)
    return dict(module.values(tree)) if module else {}
