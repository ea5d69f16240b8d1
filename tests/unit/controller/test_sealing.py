"""Sealed boxes."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from corpus.controller.sealing import Sealing, seal
from corpus.errors import CorpusError, UsageError


def test_only_who_has_the_key_opens_a_box(tmp_path: Path) -> None:
    master = Sealing(tmp_path / "key")
    box = seal(master.public(), "s3cr3t ✓", "project.env_set:shop")
    assert "s3cr3t" not in box
    assert box != seal(master.public(), "s3cr3t ✓", "project.env_set:shop")
    assert Sealing(tmp_path / "key").unseal(box, "project.env_set:shop") == "s3cr3t ✓"
    with pytest.raises(UsageError, match="send it again"):
        Sealing(tmp_path / "other").unseal(box, "project.env_set:shop")


def test_a_box_opens_for_nothing_else(tmp_path: Path) -> None:
    master = Sealing(tmp_path / "key")
    box = seal(master.public(), "s3cr3t", "project.env_set:shop")
    with pytest.raises(UsageError):
        master.unseal(box, "project.env_set:till")


@pytest.mark.parametrize("what", ["", "s3cr3t", "sealed1:", "sealed1:" + "A" * 44, "sealed1:" + "é" * 60])
def test_what_is_no_box_is_refused(tmp_path: Path, what: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        Sealing(tmp_path / "key").unseal(what, "x")


def test_a_changed_box_is_refused(tmp_path: Path) -> None:
    master = Sealing(tmp_path / "key")
    box = seal(master.public(), "s3cr3t", "x")
    for place in (12, len(box) // 2, len(box) - 5):
        changed = box[:place] + ("A" if box[place] != "A" else "B") + box[place + 1 :]
        with pytest.raises(UsageError):
            master.unseal(changed, "x")


@pytest.mark.parametrize("public", ["", "x", "QUJD"])
def test_one_seals_for_a_key_alone(public: str) -> None:
    with pytest.raises(UsageError, match="no public key"):
        seal(public, "s3cr3t", "x")


def test_the_key_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: Sealing(path).public(), range(16)))) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["key"]
    path.chmod(0o644)
    with pytest.raises(CorpusError, match="Others can read"):
        Sealing(path).public()


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("AAAA\n")
    path.chmod(0o600)
    with pytest.raises(CorpusError, match="damaged"):
        Sealing(path).public()
