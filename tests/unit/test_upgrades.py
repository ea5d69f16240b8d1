"""Upgrade steps: in order, once each."""

from pathlib import Path

import pytest
from corpus.errors import CorpusError, UsageError
from corpus.project import upgrades
from corpus.project.layout import Layout


@pytest.fixture
def salt_root(layout: Layout) -> Path:
    folder = layout.project / ".salt"
    (folder / "upgrades").mkdir(parents=True)
    return folder


def write(salt_root: Path, *steps: str, content: str = "{}") -> None:
    for step in steps:
        (salt_root / f"upgrades/{step}.sls").write_text(content)


def test_without_a_folder_there_is_nothing_to_do(layout: Layout, tmp_path: Path) -> None:
    assert upgrades.to_do(layout, tmp_path) == []


def test_steps_come_in_the_order_of_their_names(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "b", "a-late", "a", "10", "2", "0001_x", "B")
    (salt_root / "upgrades/readme.txt").touch()
    assert upgrades.to_do(layout, salt_root) == sorted(["b", "a-late", "a", "10", "2", "0001_x", "B"])


def test_what_is_done_is_done_once(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "a", "b")
    upgrades.mark(layout, salt_root, "a", "deployment-1")
    assert upgrades.to_do(layout, salt_root) == ["b"]
    upgrades.mark(layout, salt_root, "b", "deployment-2")
    assert upgrades.to_do(layout, salt_root) == []
    assert {step: entry["deployment"] for step, entry in upgrades.done(layout).items()} == {
        "a": "deployment-1",
        "b": "deployment-2",
    }


def test_asked_for_by_name(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "a", "b")
    assert upgrades.to_do(layout, salt_root, "b") == ["b"]


def test_asked_for_by_name_again_fails(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "a", "b")
    upgrades.mark(layout, salt_root, "a", "20260131T120000Z-1a2b3c4d")
    with pytest.raises(
        CorpusError, match=r"'a' was done already, on 20\d\d-.* by deployment 20260131T120000Z-1a2b3c4d"
    ):
        upgrades.to_do(layout, salt_root, "a")


@pytest.mark.parametrize("asked", [None, "a", "b"])
def test_a_step_that_was_altered_afterwards_fails_everything(
    layout: Layout, salt_root: Path, asked: str | None
) -> None:
    write(salt_root, "a", "b")
    upgrades.mark(layout, salt_root, "a", "deployment-1")
    write(salt_root, "a", content="{} # altered")
    with pytest.raises(CorpusError, match=r"'a' was altered after it was done on 20.*forget_upgrade demo a"):
        upgrades.to_do(layout, salt_root, asked)


def test_a_step_that_was_done_and_is_gone_does_not_matter(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "a", "b")
    upgrades.mark(layout, salt_root, "a", "deployment-1")
    (salt_root / "upgrades/a.sls").unlink()
    assert upgrades.to_do(layout, salt_root) == ["b"]


def test_what_is_forgotten_is_to_do_again(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "a")
    assert upgrades.forget(layout, "a") is False
    upgrades.mark(layout, salt_root, "a", "deployment-1")
    write(salt_root, "a", content="{} # altered")
    assert upgrades.forget(layout, "a") is True
    assert upgrades.to_do(layout, salt_root) == ["a"]


@pytest.mark.parametrize("name", ["nonesuch", "a.sls"])
def test_asked_for_by_a_name_that_is_none(layout: Layout, salt_root: Path, name: str) -> None:
    write(salt_root, "a")
    with pytest.raises(UsageError, match="upgrade step"):
        upgrades.to_do(layout, salt_root, name)


@pytest.mark.parametrize("name", ["../a", "/etc/x", "", "a b"])
def test_forget_takes_no_paths(layout: Layout, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name an upgrade step"):
        upgrades.forget(layout, name)


def test_a_file_that_cannot_name_a_step_is_refused(layout: Layout, salt_root: Path) -> None:
    write(salt_root, "a", "b c")
    with pytest.raises(UsageError, match="'b c' cannot name an upgrade step"):
        upgrades.to_do(layout, salt_root)
