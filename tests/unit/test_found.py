"""Which installer is for a tree, by what stands in it."""

import os
from pathlib import Path

import pytest
from corpus.project import dot_salt, found

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
