"""Trees that are served as files: what says so, which folder of them, and which command makes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.project import manifests
from corpus.project.found import procfile

_FOLDERS = ("public", "dist", "build", "_site", "site", "www", "html", "docs", ".")
_SCRIPTS = ("build", "heroku-postbuild")
_BUILT = ("dist", "build", "public", "out")
_LOCKS = {
    "yarn.lock": ["yarn install --frozen-lockfile", "yarn run build"],
    "pnpm-lock.yaml": ["pnpm install --frozen-lockfile", "pnpm run build"],
    "package-lock.json": ["npm ci", "npm run build"],
    "npm-shrinkwrap.json": ["npm ci", "npm run build"],
}


@dataclass(frozen=True)
class Generator:
    """A program that makes pages from sources.

    :param sign: the file that says that it is used
    :param folder: what it writes, relative to the top of the tree
    :param command: by which it is run
    :param holds: what the sign holds, where other programs have a file of that name, too
    :param python: whether it is a Python package that ``requirements.txt`` may name
    """

    sign: str
    folder: str
    command: str
    holds: str = ""
    python: bool = False


_GENERATORS = (
    *(Generator(f"hugo.{ending}", "public", "hugo") for ending in ("toml", "yaml", "json")),
    Generator("config.toml", "public", "hugo", holds=r"(?im)^\s*baseurl\s*="),
    Generator("config.toml", "public", "zola build", holds=r"(?m)^\s*base_url\s*="),
    Generator("mkdocs.yml", "site", "mkdocs build", python=True),
    Generator("pelicanconf.py", "output", "pelican content", python=True),
    Generator("_config.yml", "_site", "jekyll build"),
)


def look(tree: Path) -> str | None:
    """Return why a tree is served as files, or None."""
    if manifests.has(tree, "Procfile") and procfile.web(tree):
        return None
    made = generator(tree)
    return made.sign if made else _index(tree)


def generator(tree: Path) -> Generator | None:
    """Return the program that makes the pages of a tree, or None; the package managers' ones are Node applications."""
    return next(
        (
            one
            for one in _GENERATORS
            if manifests.has(tree, one.sign)
            and (not one.holds or re.search(one.holds, manifests.small_text(tree, one.sign) or ""))
        ),
        None,
    )


def values(tree: Path) -> dict[str, Any]:
    """Return the folder that is served, and the commands that make it, as far as they can be told."""
    made = generator(tree)
    if made:
        return {"document_root": made.folder, "data": {"static": {"build": _commands(tree, made)}}}
    index = _index(tree)
    folder = str(Path(index).parent) if index else None
    if _scripted(tree) and folder in (None, "."):  # an index.html at the top is a source then
        lock = manifests.has(tree, *_LOCKS)
        build = _LOCKS[lock] if lock else ["npm install --no-audit --no-fund", "npm run build"]
        return {"document_root": _BUILT[0], "data": {"static": {"build": build}}}
    return {"document_root": folder} if folder else {}


def _commands(tree: Path, made: Generator) -> list[str]:
    if made.sign == "_config.yml" and manifests.has(tree, "Gemfile"):
        return ["bundle install --quiet", f"bundle exec {made.command}"]
    if made.python and manifests.has(tree, "requirements.txt"):
        environment = "{build_root}/generator"
        return [
            f"python3 -m venv {environment}",
            f"{environment}/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt",
            f"{environment}/bin/{made.command}",
        ]
    return [made.command]


def _scripted(tree: Path) -> bool:
    scripts = manifests.json_mapping_or_empty(tree, "package.json").get("scripts")
    return isinstance(scripts, dict) and any(name in scripts for name in _SCRIPTS)


def _index(tree: Path) -> str | None:
    return manifests.has(tree, *(str(Path(folder, "index.html")) for folder in _FOLDERS))
