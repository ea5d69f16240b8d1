"""Node.js applications: what says that a tree is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError
from corpus.project import manifests
from corpus.project.found import procfile
from corpus.project.nodejs import starting

_STARTS = re.compile(r"(\S*/)?(node|npm|npx|yarn|pnpm|next|nuxt|pm2-runtime)(\s|$)")
_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")


def look(tree: Path) -> str | None:
    """Return why a tree is a Node.js application, or None."""
    if not manifests.has(tree, "package.json"):
        return None
    lock = manifests.has(tree, *_LOCKS)
    return f"package.json and {lock}" if lock else "package.json"


def starts(command: str) -> bool:
    """Tell whether a command line starts Node.js."""
    return bool(_STARTS.match(command))


def serves(tree: Path) -> bool:
    """Tell whether the package itself says how it is started."""
    scripts = manifests.json_mapping_or_empty(tree, "package.json").get("scripts")
    return isinstance(scripts, dict) and isinstance(scripts.get("start"), str)


def builds(tree: Path) -> bool:
    """Tell whether the package itself says how it is built or started."""
    scripts = manifests.json_mapping_or_empty(tree, "package.json").get("scripts")
    return isinstance(scripts, dict) and bool({"start", "build", "heroku-postbuild"} & set(scripts))


def values(tree: Path) -> dict[str, Any]:
    """Return what follows from a Node.js tree: the web process when no Procfile says it, or the folder of built pages."""
    told: dict[str, Any] = {"env": {"HOST": "127.0.0.1"}}
    if procfile.web(tree):
        return told
    command = starting.command(tree)
    if command:
        return {**told, "processes": {**_others(tree), "web": command}}
    folder = starting.output(tree)
    return {**told, "document_root": folder} if folder else told


def _others(tree: Path) -> dict[str, str]:
    try:
        return procfile.read(tree)
    except CorpusError:
        return {}
