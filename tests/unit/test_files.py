"""Small files that must be whole or absent."""

import os
import stat
from pathlib import Path

import pytest
from corpus import files
from corpus.errors import CorpusError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_write_makes_a_file_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assert files.write(tmp_path / "a", "héllo\n", 0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == "héllo\n".encode()
    assert mode(tmp_path / "a") == 0o644


def test_write_again_changes_nothing_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, "one")
    inode = path.stat().st_ino
    assert files.write(path, "one") is False
    assert path.stat().st_ino == inode


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"one", "two"), (b"\xff\xfe", "text"), (b"", "x"), (b"a\r\n", "a\n"), (b"a\n", "a\r\n"), (b"x" * 100_000, "y")],
)
def test_write_replaces_what_differs(tmp_path: Path, before: bytes, after: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(before)
    assert files.write(path, after) is True
    assert path.read_bytes() == after.encode()
    assert files.write(path, after) is False


def test_write_sets_the_mode_of_a_file_that_is_right_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, "one", 0o644)
    assert files.write(path, "one", 0o600) is True
    assert mode(path) == 0o600


def test_a_reader_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, "old")
    with path.open() as reader:
        files.write(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "\ud800")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write(tmp_path / "folder", "new")
    assert path.read_text() == "old"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "folder"]


@pytest.mark.parametrize(
    "value",
    [None, 1, "é", [], {}, {"a": [1, {"b": None}]}, {"key with\nline": "value\0"}, ["\udcff"]],
    ids=repr,
)
def test_json_comes_back(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    assert files.write_json(path, value) is True
    assert files.read_json(path) == value
    assert files.write_json(path, value) is False
    assert mode(path) == 0o600


def test_json_takes_what_yaml_gives(tmp_path: Path) -> None:
    """YAML has numbers and texts as keys of one mapping, dates, tuples."""
    path = tmp_path / "a.json"
    files.write_json(path, {80: "http", "x": ("a", Path("/srv")), None: {True: 1}})
    assert files.read_json(path) == {"80": "http", "x": ["a", "/srv"], "None": {"True": 1}}


def test_read_json_of_a_missing_file(tmp_path: Path) -> None:
    assert files.read_json(tmp_path / "no") is None
    assert files.read_json(tmp_path / "no", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1}}', b"\xff\xfe\x00", b"nothing", b'{"a": 1'])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=rf"{path} is damaged .*restore it from a backup or remove it"):
        files.read_json(path)


def test_link(tmp_path: Path) -> None:
    path = tmp_path / "current"
    assert files.link(path, "one") is True
    assert files.link(path, "one") is False
    assert files.link(path, tmp_path / "two") is True
    assert path.readlink() == tmp_path / "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["current"]


@pytest.mark.parametrize("there", ["file", "folder"])
def test_link_over_something_else_is_refused(tmp_path: Path, there: str) -> None:
    path = tmp_path / "current"
    path.write_text("precious") if there == "file" else path.mkdir()
    with pytest.raises(CorpusError, match=f"{path} should be a link to elsewhere, but something else stands there"):
        files.link(path, "elsewhere")
    assert not path.is_symlink()
    assert [entry.name for entry in tmp_path.iterdir()] == ["current"]


def test_private_umask_ends_with_its_block(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with files.private_umask():
            (tmp_path / "secret").touch()
        (tmp_path / "public").touch()
        with pytest.raises(RuntimeError), files.private_umask():
            raise RuntimeError
        (tmp_path / "public too").touch()
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("secret", "public", "public too")] == [0o600, 0o644, 0o644]
