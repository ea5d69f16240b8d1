"""Python applications: which file counts, which interpreter, what a lock means."""

import json
from pathlib import Path

import pytest
from corpus.errors import CorpusError
from corpus.project import commands, reuse
from corpus.project.python import dependencies, interpreters

LISTED = ["requirements.txt"]


def tree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_a_lock_counts_before_everything_else(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("flask\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("six==1.16.0\n")
    found = dependencies.chosen(tmp_path, LISTED)
    assert found == dependencies.Source("requirements", ("requirements.txt", "more.txt"))
    assert dependencies.unpinned(tmp_path, found) == ["flask"]
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0"\n')
    assert dependencies.chosen(tmp_path, LISTED) == found
    for lock, kind in (("Pipfile.lock", "pipenv"), ("poetry.lock", "poetry"), ("uv.lock", "uv")):
        (tmp_path / lock).write_text("")
        source = dependencies.chosen(tmp_path, LISTED)
        assert source
        assert (source.kind, source.files[0], source.locked) == (kind, lock, True)


def test_settings_of_tools_alone_are_no_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert dependencies.chosen(tmp_path, LISTED) is None


@pytest.mark.parametrize(
    ("name", "text", "right", "wrong"),
    [
        (".python-version", "# ours\n3.11\n", "3.11.9", "3.12.0"),
        (".python-version", "3.11.4", "3.11.9", "3.10.4"),
        ("runtime.txt", "python-3.12.1\n", "3.12.8", "3.11.0"),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.10,<3.13"', "3.12.1", "3.13.0"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.10"', "3.13.0", "3.9.1"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "~3.11"', "3.11.7", "3.12.0"),
        ("Pipfile.lock", '{"_meta": {"requires": {"python_version": "3.11"}}}', "3.11.2", "3.12.0"),
    ],
)
def test_the_python_that_a_tree_asks_for(tmp_path: Path, name: str, text: str, right: str, wrong: str) -> None:
    (tmp_path / name).write_text(text)
    wish = interpreters.wished(tmp_path)
    assert wish is not None
    assert wish.versions.contains(right)
    assert not wish.versions.contains(wrong)


def test_a_python_that_is_not_here_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / ".python-version").write_text("2.7")
    with pytest.raises(
        CorpusError, match=r"\.python-version asks for Python 2\.7, and this machine has 3\.\d+.*: install"
    ):
        interpreters.suitable(tmp_path, None)
    (tmp_path / ".python-version").write_text("the new one")
    with pytest.raises(CorpusError, match="is no version of Python that we know"):
        interpreters.suitable(tmp_path, None)


PIPFILE = '[[source]]\nurl = "https://pypi.org/simple"\nverify_ssl = true\nname = "pypi"\n\n[packages]\nsix = "*"\n\n[dev-packages]\n'


def test_a_pipfile_lock_becomes_requirements_with_hashes(tmp_path: Path) -> None:
    lock = {
        "_meta": {"hash": {"sha256": "0"}, "sources": [{"name": "pypi", "url": "https://pypi.org/simple"}]},
        "default": {
            "six": {"version": "==1.16.0", "hashes": ["sha256:aa", "sha256:bb"], "markers": "python_version >= '3'"},
            "uvicorn": {"version": "==0.30.0", "extras": ["standard"], "hashes": ["sha256:cc"]},
            "mine": {"git": "https://example.org/mine.git", "ref": "abc"},
        },
    }
    (tmp_path / "Pipfile.lock").write_text(json.dumps(lock))
    assert dependencies.from_pipfile_lock(tmp_path).splitlines() == [
        "--index-url https://pypi.org/simple",
        "six==1.16.0 ; python_version >= '3' --hash=sha256:aa --hash=sha256:bb",
        "uvicorn[standard]==0.30.0 --hash=sha256:cc",
        "mine @ git+https://example.org/mine.git@abc",
    ]
    (tmp_path / "Pipfile").write_text(PIPFILE)
    with pytest.raises(CorpusError, match=r"Pipfile\.lock is out of date"):
        dependencies.from_pipfile_lock(tmp_path)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because nonesuch was not found\n      and you require it\n\nhint: x\n",  # noqa: RUF001
            "No solution found when resolving dependencies: Because nonesuch was not found and you require it",
        ),
        (
            "Traceback:\n  File x\nModuleNotFoundError: No module named 'x'\n",
            "ModuleNotFoundError: No module named 'x'",
        ),
        ("one\nerror: it broke\n  Caused by: the disk\nmore\n", "error: it broke Caused by: the disk"),
        (
            "npm error code E404\nnpm error 404 Not Found - GET x\nnpm error 404\nnpm error A complete log of this run\n",
            "Not Found - GET x",
        ),
        ("", "it printed nothing"),
    ],
)
def test_a_failed_command_is_told_in_one_line(output: str, words: str) -> None:
    assert commands.telling(output) == words


def test_a_digest_tells_what_an_environment_was_made_from(tmp_path: Path) -> None:
    tree(tmp_path, a__txt="1")
    first = reuse.digest(tmp_path, ("a.txt",), python="3.11")
    assert first == reuse.digest(tmp_path, ("a.txt",), python="3.11")
    assert first != reuse.digest(tmp_path, ("a.txt",), python="3.12")
    tree(tmp_path, a__txt="2")
    assert first != reuse.digest(tmp_path, ("a.txt",), python="3.11")
