"""Archives of what ran."""

import os
from pathlib import Path
from typing import Any

import pytest
from corpus import files
from corpus.errors import CorpusError
from corpus.project.keeping import archives, trees
from corpus.project.layout import Layout

IDS = [f"2026010{day}T000000Z-0000000{day}" for day in range(1, 8)]
GIB = 1 << 30


def cfg(layout: Layout, **changes: Any) -> dict[str, Any]:
    return {
        "archive_data": True,
        "data_root": str(layout.data),
        "api_version": 2,
        "operation_mode": "cooking",
        "minimum_free": 0,
        **changes,
    }


@pytest.fixture
def running(layout: Layout) -> Layout:
    (layout.project / "app.py").write_text("one")
    (layout.data / "db").write_text("rows")
    return layout


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_archive_holds_content_data_and_a_manifest(running: Layout) -> None:
    folder, how = archives.make(running, IDS[0], cfg(running))
    assert folder == running.archives / IDS[0]
    assert how in ("copy", "reflink")
    assert (folder / "project/app.py").read_text() == "one"
    assert (folder / "data/db").read_text() == "rows"
    manifest = files.read_json(folder / "manifest.json")
    assert (manifest["release"], manifest["api_version"], manifest["mode"]) == (IDS[0], 2, "cooking")
    assert names(running.archives) == [IDS[0]]


def test_without_data_when_told(running: Layout) -> None:
    folder, _ = archives.make(running, IDS[0], cfg(running, archive_data=False))
    assert names(folder) == ["manifest.json", "project"]


def test_data_may_lie_elsewhere(running: Layout, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "big disk/db").write_text("elsewhere")
    folder, _ = archives.make(running, IDS[0], cfg(running, data_root=str(tmp_path / "big disk")))
    assert (folder / "data/db").read_text() == "elsewhere"


def test_an_archive_of_the_same_release_takes_the_place_of_the_first(running: Layout) -> None:
    archives.make(running, IDS[0], cfg(running))
    (running.data / "db").write_text("more rows")
    folder, _ = archives.make(running, IDS[0], cfg(running))
    assert (folder / "data/db").read_text() == "more rows"
    assert names(running.archives) == [IDS[0]]


def test_unchanged_files_take_no_space_twice_and_archives_differ(running: Layout) -> None:
    for folder in (running.project, running.data):
        (folder / "big").write_bytes(os.urandom(1 << 20))
    for number, release in enumerate(IDS[:4]):
        (running.project / "app.py").write_text(f"version {number}")
        archives.make(running, release, cfg(running))
    assert [(folder / "project/app.py").read_text() for folder in archives.listing(running)] == [
        f"version {number}" for number in range(4)
    ]
    if not trees.can_reflink(running.project, running.archives):  # blocks that are shared are counted each time
        assert trees.size(running.archives) < 2.2 * (1 << 20)


def test_what_the_application_writes_in_place_does_not_reach_an_archive(running: Layout) -> None:
    first, _ = archives.make(running, IDS[0], cfg(running))
    second, _ = archives.make(running, IDS[1], cfg(running))
    with (running.data / "db").open("r+") as stream:
        stream.write("XXXX")
    assert (first / "data/db").read_text() == (second / "data/db").read_text() == "rows"


def test_a_failure_leaves_no_half_and_the_earlier_archive(running: Layout) -> None:
    archives.make(running, IDS[0], cfg(running))
    with pytest.raises(CorpusError, match="Copying /no/where"):
        archives.make(running, IDS[0], cfg(running, data_root="/no/where"))
    assert names(running.archives) == [IDS[0]]
    assert (running.archives / IDS[0] / "data/db").exists()


def test_a_half_that_was_left_behind_is_completed(running: Layout) -> None:
    half = running.archives / f".making-{IDS[0]}"
    (half / "project").mkdir(parents=True)
    (half / "project/app.py").write_text("ha")
    (half / "project/gone").write_text("x")
    folder, _ = archives.make(running, IDS[0], cfg(running))
    assert names(folder / "project") == ["app.py"]
    assert (folder / "project/app.py").read_text() == "one"
    assert names(running.archives) == [IDS[0]]


def test_halves_do_not_count(running: Layout) -> None:
    assert archives.latest(running) is None
    (running.archives / f".making-{IDS[5]}/project").mkdir(parents=True)
    (running.archives / IDS[6]).mkdir()
    archives.make(running, IDS[0], cfg(running))
    archives.make(running, IDS[1], cfg(running))
    assert [folder.name for folder in archives.listing(running)] == IDS[:2]
    assert archives.latest(running) == running.archives / IDS[1]


@pytest.mark.parametrize(
    ("keep", "spare", "left"),
    [
        (5, set(), IDS[1:6]),
        (1, set(), IDS[5:6]),
        (0, set(), []),
        (100, set(), IDS[:6]),
        (2, {IDS[0]}, [IDS[0], *IDS[4:6]]),
        (0, {IDS[3], "other"}, [IDS[3]]),
    ],
)
def test_rotation(running: Layout, keep: int, spare: set[str], left: list[str]) -> None:
    for release in IDS[:6]:
        (running.archives / release).mkdir()
        files.write_json(running.archives / release / "manifest.json", {})
    (running.archives / f".making-{IDS[6]}/project").mkdir(parents=True)
    (running.archives / ".removed-x-1").mkdir()
    gone = archives.rotate(running, keep, spare)
    assert names(running.archives) == left
    assert gone == [release for release in IDS[:6] if release not in left]


# space


def test_enough_space(running: Layout) -> None:
    assert archives.ensure_space(running, cfg(running, minimum_free=1), None) > 1 << 20


def never(missing: int) -> bool:
    return False


def lies(missing: int) -> bool:
    return True


@pytest.mark.parametrize("enlarge", [None, never, lies])
def test_too_little_space_is_said_before_anything_is_copied(running: Layout, enlarge: Any) -> None:
    with pytest.raises(
        CorpusError, match=r"Too little disk space under .*: \d+ MiB are needed, \d+ MiB are free\. Enl"
    ):
        archives.ensure_space(running, cfg(running, minimum_free=1 << 30), enlarge)
    assert names(running.archives) == []


def test_somebody_is_asked_for_what_is_missing(running: Layout) -> None:
    """A big file that goes stands for a disk that grows."""
    ballast = running.folder / "ballast"
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 4 * GIB)
    asked = []

    def enlarge(missing: int) -> bool:
        asked.append(missing)
        ballast.unlink()
        return True

    need = trees.free(running.folder) + 2 * GIB
    have = archives.ensure_space(running, cfg(running, minimum_free=need >> 20), enlarge)
    assert have > need - GIB
    assert GIB < asked[0] < 3 * GIB


def test_data_counts_when_it_is_archived(running: Layout) -> None:
    with (running.data / "big").open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 4 * GIB)
    settings = cfg(running, minimum_free=(trees.free(running.folder) - 2 * GIB) >> 20)
    archives.ensure_space(running, {**settings, "archive_data": False}, None)
    with pytest.raises(CorpusError, match="Too little disk space"):
        archives.ensure_space(running, settings, None)


def test_a_tree_that_was_taken_off_becomes_that_of_its_archive(running: Layout) -> None:
    """The data was copied before; what did not change is shared with the archive before, and with nothing else."""
    (running.project / "big").write_bytes(os.urandom(1 << 20))
    for release in IDS[:2]:
        archives.make(running, release, cfg(running), content=False)
        tree = running.deployed / release / "project"
        trees.duplicate(running.project, (tree.parent.mkdir(parents=True), tree)[1])
        (tree / "app.py").write_text(release)
    for release in IDS[:2]:
        archives.take(running, release, running.deployed / release / "project")
        folder = running.archive(release)
        assert names(folder) == ["data", "manifest.json", "project"]
        assert files.read_json(folder / "manifest.json")["mode"] == "cooking"
        assert (folder / "project/app.py").read_text() == release
    first, second = (running.archive(release) / "project/big" for release in IDS[:2])
    assert first.samefile(second)
    assert (running.project / "big").stat().st_nlink == 1
    assert archives.latest(running) == running.archive(IDS[1])
