"""Directory trees: copied, exchanged, measured, removed."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from corpus import files
from corpus.errors import CorpusError, UsageError
from corpus.project.keeping import trees


def content(folder: Path) -> dict[str, str]:
    """Everything below a folder: what files hold, where links lead."""
    return {
        str(path.relative_to(folder)): f"-> {path.readlink()}"
        if path.is_symlink()
        else path.read_text()
        if path.is_file()
        else "/"
        for path in trees.walk(folder)
    }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep/er").mkdir(parents=True)
    (folder / "a").write_text("a1")
    (folder / "deep/er/b").write_text("b1")
    (folder / "name with\nline ünd 'quotes'").write_text("x")
    (folder / "-rf").write_text("dash")
    (folder / "link").symlink_to("deep/er/b")
    (folder / "dangling").symlink_to("/no/where")
    (folder / "empty").mkdir()
    (folder / "a").chmod(0o640)
    os.utime(folder / "a", (1_000_000_000, 1_000_000_000))
    return folder


def test_a_copy_is_the_same_and_apart(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert trees.copy(source, copy) in ("copy", "reflink")
    assert content(copy) == content(source)
    assert stat.S_IMODE((copy / "a").stat().st_mode) == 0o640
    assert (copy / "a").stat().st_mtime == 1_000_000_000
    assert not shared(source, copy)


def shared(one: Path, other: Path) -> set[str]:
    """The files that are hard links of each other in two trees."""
    inodes = {path.lstat().st_ino for path in trees.walk(one) if not path.is_dir()}
    return {str(path.relative_to(other)) for path in trees.walk(other) if path.lstat().st_ino in inodes}


def in_place(path: Path) -> None:
    with path.open("r+") as stream:
        stream.write("XX")


def append(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("more")


def in_place_in_the_same_second(path: Path) -> None:
    before = path.stat()
    in_place(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("write", [in_place, append, in_place_in_the_same_second, Path.unlink, os.truncate])
def test_writes_to_the_source_never_reach_a_copy(source: Path, tmp_path: Path, write: Callable[..., object]) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    trees.copy(source, first)
    trees.copy(source, second, like=first)
    before = content(source)
    for name in ("a", "deep/er/b"):
        write(*((source / name, 1) if write is os.truncate else (source / name,)))
    assert content(first) == content(second) == before
    trees.copy(source, third, like=second)
    assert content(third) == content(source) != before
    assert content(first) == content(second) == before


def test_links_lie_among_copies_only_and_only_for_what_is_unchanged(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    how = trees.copy(source, first)
    (source / "a").write_text("a2")
    (source / "new").write_text("new")
    assert trees.copy(source, second, like=first) == ("links" if how == "copy" else "reflink")
    assert not shared(source, second)
    assert content(second) == content(source)
    if how == "copy":  # a file system that shares blocks needs no links
        assert {"deep/er/b", "-rf"} <= shared(first, second)
    assert not {"a", "new"} & shared(first, second)


def test_a_changed_mode_is_no_unchanged_file(source: Path, tmp_path: Path) -> None:
    trees.copy(source, tmp_path / "first")
    (source / "a").chmod(0o600)
    trees.copy(source, tmp_path / "second", like=tmp_path / "first")
    assert stat.S_IMODE((tmp_path / "first/a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "second/a").stat().st_mode) == 0o600


def test_a_copy_that_was_cut_short_is_completed(source: Path, tmp_path: Path) -> None:
    rest = tmp_path / "copy"
    (rest / "deep").mkdir(parents=True)
    (rest / "deep/left over").write_text("x")
    (rest / "a").write_text("half")
    trees.copy(source, rest)
    assert content(rest) == content(source)


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"Copying {tmp_path}/no to {tmp_path}/copy failed"):
        trees.copy(tmp_path / "no", tmp_path / "copy")


def test_make_identical_goes_by_content_and_keeps_what_it_is_told(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / ".git").mkdir(parents=True)
    (target / ".git/HEAD").write_text("kept")
    (target / "gone/deep").mkdir(parents=True)
    (target / "a").write_text("b1")  # the same size and time as the source's, another content
    os.utime(target / "a", (1_000_000_000, 1_000_000_000))
    (source / ".git").mkdir()
    (source / ".git/HEAD").write_text("theirs")
    trees.make_identical(source, target, keep=(".git",))
    kept = content(target)
    assert kept.pop(".git/HEAD") == "kept"
    assert kept == {name: text for name, text in content(source).items() if name != ".git/HEAD"}
    trees.make_identical(source, target)
    assert content(target) == content(source)


def test_exchange_swaps_two_trees(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    before = trees.identity(one), trees.identity(other)
    with (one / "name").open() as stream:
        files.exchange(one, other)
        assert stream.read() == "one"
    assert (trees.identity(other), trees.identity(one)) == before
    assert ((one / "name").read_text(), (other / "name").read_text()) == ("other", "one")


@pytest.mark.parametrize("missing", ["one", "other"])
def test_exchange_of_what_is_not_there_changes_nothing(tmp_path: Path, missing: str) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    (other if missing == "one" else one).mkdir()
    with pytest.raises(CorpusError, match=f"Cannot exchange {one} and {other}: No such file or directory"):
        files.exchange(one, other)
    assert {path.name for path in tmp_path.iterdir()} == {"one", "other"} - {missing}


def test_identity_of_nothing(tmp_path: Path) -> None:
    assert trees.identity(tmp_path / "no") is None


def test_walk_is_ordered_and_follows_no_links(source: Path) -> None:
    (source / "loop").symlink_to(".")
    walked = [str(path.relative_to(source)) for path in trees.walk(source)]
    tops = [name for name in walked if "/" not in name]
    assert tops == sorted(tops)
    assert "loop" in walked
    assert not any(name.startswith("loop/") for name in walked)
    assert list(trees.walk(source / "nothing")) == []


def test_size_counts_hard_links_once(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(os.urandom(100_000))
    alone = trees.size(folder)
    assert alone >= 100_000
    (folder / "b").hardlink_to(folder / "a")
    (folder / "deep/c").hardlink_to(folder / "a")
    assert trees.size(folder) == alone
    (folder / "d").write_bytes(os.urandom(100_000))
    assert trees.size(folder) >= 2 * 100_000
    assert trees.size(tmp_path / "no") == 0


def test_size_is_what_lies_on_disk(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(1 << 30)
    assert trees.size(tmp_path) < 1 << 20


@pytest.mark.parametrize("kind", ["tree", "file", "link", "dangling", "nothing"])
def test_remove(source: Path, tmp_path: Path, kind: str) -> None:
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o711)
    victim = parent / "victim"
    if kind == "tree":
        shutil.copytree(source, victim, symlinks=True)
    elif kind == "file":
        victim.touch()
    elif kind != "nothing":
        victim.symlink_to(source if kind == "link" else "/no/where")
    trees.remove(victim)
    assert list(parent.iterdir()) == []
    assert stat.S_IMODE(parent.stat().st_mode) == 0o711
    assert (source / "a").read_text() == "a1"


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that nobody in particular owns."""
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("mode", [0o555, 0o444, 0o111, 0o000])
def test_read_only_trees_go_too(reachable: Path, mode: int) -> None:
    def work() -> None:
        victim = reachable / "victim"
        (victim / "deep/er").mkdir(parents=True)
        (victim / "deep/file").touch()
        (victim / "deep/er/file").touch()
        (victim / "deep/er/link").symlink_to(victim)
        for folder in (victim / "deep/er", victim / "deep", victim):
            folder.chmod(mode)
        trees.remove(victim)

    as_ordinary_user(work)
    assert list(reachable.iterdir()) == []


def as_ordinary_user(work: Callable[[], None]) -> None:
    """Do something as somebody whom permissions stop."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            work()
            status = 0
        except BaseException as err:
            os.write(2, f"{err!r}\n".encode())
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_cannot_be_removed_is_named(reachable: Path) -> None:
    """Somebody else's folder, full, in one of ours."""
    if os.geteuid() != 0:
        return
    foreign = reachable / "victim/foreign"
    foreign.mkdir(parents=True)
    (foreign / "file").touch()
    os.chown(reachable / "victim", 65534, 65534)

    def work() -> None:
        with pytest.raises(CorpusError, match="cannot be removed: something in it belongs to somebody else"):
            trees.remove(reachable / "victim")

    as_ordinary_user(work)
    assert not (reachable / "victim").exists(), "the meaningful name is gone all the same"
    trees.sweep(reachable)
    assert list(reachable.iterdir()) == []


def test_sweep_finishes_removals_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".removed-project-123/deep").mkdir(parents=True)
    (tmp_path / ".removed-link-5").symlink_to(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / ".other").mkdir()
    trees.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"project", ".other"}
    trees.sweep(tmp_path / "no")


def test_wipe_empties_and_keeps_owner_and_mode(tmp_path: Path, source: Path) -> None:
    inode = source.stat().st_ino
    source.chmod(0o750)
    trees.wipe(source)
    assert list(source.iterdir()) == []
    assert (source.stat().st_ino, stat.S_IMODE(source.stat().st_mode)) == (inode, 0o750)
    trees.wipe(tmp_path / "new")
    assert (tmp_path / "new").is_dir()


def test_wipe_does_not_go_through_links(tmp_path: Path, source: Path) -> None:
    (tmp_path / "build").symlink_to(source)
    with pytest.raises(UsageError, match="is a link: make it a directory"):
        trees.wipe(tmp_path / "build")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(source)
    trees.wipe(folder)
    assert (source / "a").exists()


def test_sharing_leaves_alone_what_differs(tmp_path: Path) -> None:
    """Content, mode and kind must be the same; afterwards both hold what they held."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep/same").write_text("same")
        (folder / "mode").write_text("x")
        (folder / "empty").write_text("")
        (folder / "odd").mkdir() if folder == old else (folder / "odd").write_text("file")
    (old / "changed").write_text("one")
    (new / "changed").write_text("two")
    (new / "mode").chmod(0o755)
    (new / "more").write_text("more")
    (old / "link").symlink_to("changed")
    (new / "link").write_text("one")
    before = content(new)
    trees.share(new, old)
    assert content(new) == before
    assert (new / "changed").read_text() == "two"
    shared = {path.name for path in new.rglob("*") if path.is_file() and path.stat().st_nlink > 1}
    assert shared == {"same"}
    assert not list(tmp_path.glob(".sharing"))


def test_sharing_reads_what_has_another_time_stamp_only(tmp_path: Path) -> None:
    """Same size and time stamp, to the nanosecond: as rsync does, that counts as the same."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, text in ((old, "one"), (new, "two")):
        folder.mkdir()
        (folder / "file").write_text(text)
        os.utime(folder / "file", ns=(1, 1))
    trees.share(new, old)
    assert (new / "file").samefile(old / "file")


def test_walking_meets_what_is_below_a_folder_after_it(tmp_path: Path) -> None:
    for name in ("b/z", "b/a/x", "a", "c", "b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "loop").symlink_to(".")
    assert [str(path.relative_to(tmp_path)) for path in trees.walk(tmp_path)] == [
        *("a", "b", "b/a", "b/a/x", "b/z", "b.txt", "c", "loop")
    ]
