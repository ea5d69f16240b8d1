"""Node.js applications: which Node, which package manager, how they are started."""

import json
from pathlib import Path
from typing import Any

import pytest
from corpus.errors import CorpusError
from corpus.project.found import nodejs
from corpus.project.nodejs import packages, runtime


def tree(folder: Path, package: dict[str, Any], **files: str) -> Path:
    (folder / "package.json").write_text(json.dumps(package))
    for name, text in files.items():
        (folder / name.replace("__", ".").replace("_", "-")).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "right", "wrong"),
    [
        (".nvmrc", "v20\n", "20.11.1", "22.1.0"),
        (".nvmrc", "lts/iron\n", "20.11.1", "18.1.0"),
        (".node-version", "20.11.1\n", "20.11.1", "20.11.2"),
        ("engines", ">=18 <21", "20.1.0", "22.0.0"),
        ("engines", "18.x || >= 20", "22.0.0", "19.1.0"),
        ("engines", "^20.1", "20.9.0", "20.0.9"),
    ],
)
def test_the_node_that_a_tree_asks_for(tmp_path: Path, name: str, text: str, right: str, wrong: str) -> None:
    if name == "engines":
        tree(tmp_path, {"engines": {"node": text}})
    else:
        (tmp_path / name).write_text(text)
    wish = runtime.wished(tmp_path)
    assert runtime.right(right, wish)
    assert not runtime.right(wrong, wish)


def test_any_node_will_do(tmp_path: Path) -> None:
    (tmp_path / ".nvmrc").write_text("lts/*\n")
    assert runtime.wished(tmp_path) is None
    assert runtime.right("4.0.0", None)


@pytest.mark.parametrize(
    ("package", "files", "name", "version", "lock"),
    [
        ({}, {"package_lock__json": "{}"}, "npm", "", "package-lock.json"),
        ({}, {"yarn__lock": "# yarn lockfile v1\n"}, "yarn", "1.22.22", "yarn.lock"),
        ({}, {"yarn__lock": "__metadata:\n  version: 6\n"}, "berry", "3.8.7", "yarn.lock"),
        ({}, {"pnpm_lock__yaml": "lockfileVersion: '6.0'\n"}, "pnpm", "8.15.9", "pnpm-lock.yaml"),
        (
            {"packageManager": "pnpm@9.1.0+sha512.abc"},
            {"pnpm_lock__yaml": "", "package_lock__json": "{}"},
            "pnpm",
            "9.1.0",
            "pnpm-lock.yaml",
        ),
        ({"packageManager": "yarn@4.2.2"}, {"yarn__lock": ""}, "berry", "4.2.2", "yarn.lock"),
        ({}, {}, "npm", "", ""),
    ],
)
def test_who_installs(
    tmp_path: Path, package: dict[str, Any], files: dict[str, str], name: str, version: str, lock: str
) -> None:
    found = packages.packager(tree(tmp_path, package, **files))
    assert (found.name, found.version, found.lock) == (name, version, lock)


def test_a_package_manager_that_is_none_or_has_another_lock(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="packageManager is npm, yarn or pnpm with an exact version"):
        packages.packager(tree(tmp_path, {"packageManager": "bun@1.0.0"}))
    with pytest.raises(CorpusError, match=r"names pnpm as its packageManager, but the tree has yarn\.lock"):
        packages.packager(tree(tmp_path, {"packageManager": "pnpm@9.0.0"}, yarn__lock=""))


@pytest.mark.parametrize(
    ("package", "files", "command"),
    [
        ({"scripts": {"start": "node server.js"}}, {}, "node server.js"),
        ({"scripts": {"start": "next start -p 3000"}}, {}, "next start -p 3000"),
        ({"scripts": {"start": "node a.js && node b.js"}}, {}, "npm start --silent"),
        ({"scripts": {"start": "NODE_ENV=x node a.js"}}, {}, "npm start --silent"),
        ({"scripts": {"start": "node a.js", "prestart": "node b.js"}}, {}, "npm start --silent"),
        ({"dependencies": {"next": "15"}, "scripts": {"build": "next build"}}, {}, "next start"),
        ({"main": "lib.js"}, {"lib__js": ""}, "node lib.js"),
        ({}, {"server__js": ""}, "node server.js"),
    ],
)
def test_how_it_is_started(tmp_path: Path, package: dict[str, Any], files: dict[str, str], command: str) -> None:
    assert nodejs.values(tree(tmp_path, package, **files))["processes"] == {"web": command}


@pytest.mark.parametrize(
    ("package", "folder"),
    [
        ({"devDependencies": {"vite": "6"}, "scripts": {"dev": "vite", "build": "vite build"}}, "dist"),
        ({"dependencies": {"react-scripts": "5"}, "scripts": {"start": "react-scripts start", "build": "x"}}, "build"),
        ({"dependencies": {"astro": "5"}, "scripts": {"start": "astro dev", "build": "astro build"}}, "dist"),
    ],
)
def test_pages_that_are_built_and_need_no_server(tmp_path: Path, package: dict[str, Any], folder: str) -> None:
    told = nodejs.values(tree(tmp_path, package))
    assert told["document_root"] == folder
    assert "processes" not in told
