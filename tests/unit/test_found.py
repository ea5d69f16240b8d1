"""Which installer is for a tree, by what stands in it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from corpus.project import dot_salt, found, manifests

from bench import applications

ALL = list(found.ORDER)


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("files", "installer", "why"),
    [
        ({"requirements.txt": "flask", "app.py": ""}, "python", "requirements.txt"),
        ({"manage.py": "import django", "requirements.txt": ""}, "django", "manage.py and requirements.txt"),
        ({"manage.py": "import django", "requirements.txt": "", "package.json": "{}"}, "django", "manage.py"),
        ({"package.json": '{"scripts": {"start": "node ."}}', "yarn.lock": ""}, "nodejs", "package.json and yarn.lock"),
        ({"package.json": '{"scripts": {"start": "x"}}', "requirements.txt": ""}, "nodejs", "package.json"),
        ({"package.json": "{}", "requirements.txt": "", "app.py": ""}, "python", "requirements.txt"),
        ({"package.json": "{}", "requirements.txt": "", "Procfile": "web: npm start"}, "nodejs", "package.json"),
        ({"composer.json": "{}", "package.json": "{}"}, "php", "composer.json"),
        ({"index.php": "<?php"}, "php", "index.php"),
        ({"buildout.cfg": "", "setup.py": ""}, "zope", "buildout.cfg"),
        ({"public/index.html": ""}, "static", "public/index.html"),
        ({"index.html": ""}, "static", "index.html"),
        ({"Procfile": "web: ./run", "index.html": ""}, "generic", "Procfile"),
        ({"hugo.toml": ""}, "static", "hugo.toml"),
        ({"config.toml": "baseURL = 'x'"}, "static", "config.toml"),
        ({"mkdocs.yml": "", "requirements.txt": "mkdocs"}, "static", "mkdocs.yml"),
        ({"mkdocs.yml": "", "requirements.txt": "flask", "app.py": ""}, "python", "requirements.txt"),
        ({"_config.yml": "", "Gemfile": "", "package.json": "{}"}, "static", "_config.yml"),
        ({"package.json": '{"devDependencies": {"prettier": "3"}}', "index.html": ""}, "static", "index.html"),
        ({"package.json": '{"scripts": {"build": "vite build"}}', "index.html": ""}, "nodejs", "package.json"),
        ({".salt/build.sls": "mine: test.nop"}, "generic", ".salt/build.sls"),
    ],
)
def test_what_a_person_would_expect(tmp_path: Path, files: dict[str, str], installer: str, why: str) -> None:
    seen = found.look(tree(tmp_path, files), ALL)
    assert seen is not None
    assert seen.installer == installer
    assert seen.why.startswith(why)


def test_only_what_is_offered(tmp_path: Path) -> None:
    seen = found.look(tree(tmp_path, {"index.php": "", "index.html": ""}), ["static", "generic"])
    assert seen is not None
    assert (seen.installer, seen.values) == ("static", {"document_root": "."})


def test_nothing_to_recognize(tmp_path: Path) -> None:
    dot_salt.complete(tree(tmp_path, {"README": "x"}) / ".salt", None, None)
    assert found.look(tmp_path, ALL) is None


def test_files_that_are_none_or_lead_out(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree", {"manage.py/x": "", "Procfile": "\0\xff" * 3})
    os.mkfifo(folder / "package.json")
    (folder / "composer.json").symlink_to("/etc/passwd")
    (folder / "index.html").symlink_to("index.html")
    (folder / "requirements.txt").write_bytes(b"\xff" * (2 << 20))
    seen = found.look(folder, ALL)
    assert seen is not None
    assert seen.installer == "python"


@pytest.mark.parametrize(
    ("files", "folder", "build"),
    [
        ({"public/index.html": ""}, "public", None),
        ({"hugo.toml": "", "public/index.html": ""}, "public", ["hugo"]),
        ({"config.toml": "base_url = 'x'"}, "public", ["zola build"]),
        ({"_config.yml": "", "Gemfile": ""}, "_site", ["bundle install --quiet", "bundle exec jekyll build"]),
        (
            {"package.json": '{"scripts": {"build": "x"}}', "index.html": "", "yarn.lock": ""},
            "dist",
            ["yarn install --frozen-lockfile", "yarn run build"],
        ),
    ],
)
def test_how_pages_are_made(tmp_path: Path, files: dict[str, str], folder: str, build: list[str] | None) -> None:
    told = found.values(tree(tmp_path, files), "static")
    assert told["document_root"] == folder
    assert told.get("data", {}).get("static", {}).get("build") == build


def test_the_generator_of_a_requirement_gets_an_environment_of_its_own(tmp_path: Path) -> None:
    told = found.values(tree(tmp_path, {"mkdocs.yml": "", "requirements.txt": "mkdocs"}), "static")
    assert told["data"]["static"]["build"][-1] == "{build_root}/generator/bin/mkdocs build"


@pytest.mark.parametrize("application", applications.ALL, ids=lambda application: application.name)
def test_forty_trees_as_people_have_them(tmp_path: Path, application: applications.Application) -> None:
    seen = found.look(replace(application, bulk=1).grow(tmp_path), ALL)
    assert seen is not None
    assert seen.installer == application.installer


def test_there_are_forty() -> None:
    assert len({application.name for application in applications.ALL}) == 40


def test_links_inside_of_a_tree_count_and_those_that_lead_out_do_not(tmp_path: Path) -> None:
    folder = tree(tmp_path / "tree", {"real/index.html": "x"})
    (folder / "public").symlink_to("real")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/index.html").write_text("secret")
    (folder / "dist").symlink_to("../outside")
    (folder / "loop").symlink_to("loop")
    assert manifests.small_text(folder, "public/index.html") == "x"
    for name in ("dist/index.html", "../outside/index.html", "loop", "loop/x", ".", "real", "a\0b", "x" * 5000):
        assert manifests.has(folder, name) is None
