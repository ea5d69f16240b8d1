"""Directory trees: copied cheaply, digested, exchanged in one step, removed."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from corpus import processes
from corpus.errors import CorpusError, UsageError


def copy(source: Path, target: Path, like: Path | None = None) -> str:
    """Make ``target`` a copy of ``source`` that later writes to ``source`` cannot reach.

    Shares blocks with the source where the file system can (reflink), else shares unchanged files with an earlier
    copy by hard links. Never links to the source itself.

    :param target: a path that does not exist yet, or the rest of a copy that was cut short
    :param like: an earlier copy on the same file system
    :returns: ``reflink``, ``links`` or ``copy``: how it was done
    :raises CorpusError: out of space, or a file cannot be read
    """
    if not target.exists() and source.is_dir() and not any(source.iterdir()):  # rsync takes 50 ms even then
        processes.run(["cp", "-a", source, target])
        return "copy"
    if not target.exists() and can_reflink(source, target.parent):
        processes.run(["cp", "-a", "--reflink=always", source, target])
        return "reflink"
    target.mkdir(parents=True, exist_ok=True)
    argv: list[str | Path] = ["rsync", "-aAX", "--delete", "--numeric-ids", "--modify-window=-1"]
    if like is not None and like.is_dir():
        argv.append(f"--link-dest={like}")
    result = processes.run([*argv, f"{source}/", f"{target}/"], check=False)
    if result.status not in (0, 24):  # 24: files vanished while they were read, as in a live data folder
        raise CorpusError(f"Copying {source} to {target} failed: {_reason(result)}")
    return "links" if like is not None and like.is_dir() else "copy"


def copy_sharing(source: Path, target: Path, like: Path) -> str:
    """Make ``target`` a copy of ``source`` that shares every file with the same content, mode and owner with ``like``.

    For a release's tree: it was checked out and built afresh, so its time stamps are new although most of its content
    is not. A shared file keeps the time stamp of the first copy.

    :param target: a path that does not exist yet, or the rest of a copy that was cut short
    :param like: an earlier copy on the same file system
    :returns: ``links``
    :raises CorpusError: out of space, or a file cannot be read
    """
    argv = ["rsync", "-aAX", "--no-times", "--checksum", "--delete", "--numeric-ids", f"--link-dest={like}"]
    result = processes.run([*argv, f"{source}/", f"{target}/"], check=False)
    if result.status not in (0, 24):
        raise CorpusError(f"Copying {source} to {target} failed: {_reason(result)}")
    for path in walk(target):
        with suppress(FileNotFoundError):
            copied, status = path.lstat(), (source / path.relative_to(target)).lstat()
            if copied.st_nlink == 1 and stat.S_ISREG(copied.st_mode):
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
    return "links"


def duplicate(source: Path, target: Path) -> None:
    """Make ``target`` a whole copy of ``source`` at one go, time stamps included; neither can reach the other.

    Shares blocks where the file system can. ``cp`` is twice as quick as rsync where nothing is there yet.

    :param target: an empty folder, or none
    :raises CorpusError: out of space, or a file cannot be read
    """
    target.mkdir(exist_ok=True)
    processes.run(["cp", "-a", "--reflink=auto", f"{source}/.", target])


def _reason(result: processes.Result) -> str:
    """Return why rsync failed: its last line only names the place in its source."""
    return next((line for line in result.errors.splitlines() if "No space left" in line), result.last_words)


def make_identical(source: Path, target: Path, keep: tuple[str, ...] = ()) -> None:
    """Make ``target`` hold exactly what ``source`` holds, by content.

    :param keep: top-level names of ``target`` that stay
    :raises CorpusError: rsync failed
    """
    target.mkdir(parents=True, exist_ok=True)
    excluded = [f"--exclude=/{name}" for name in keep]
    processes.run(["rsync", "-aAX", "--delete", "--checksum", "--numeric-ids", *excluded, f"{source}/", f"{target}/"])


def mirror(source: Path, target: Path, without: tuple[str, ...] = ()) -> None:
    """Make ``target`` hold what ``source`` holds; files whose size and time are the same already are not copied again.

    :param without: top-level names that the target does not get
    :raises UsageError: the target is a link
    :raises CorpusError: rsync failed
    """
    if target.is_symlink():
        raise UsageError(f"{target} is a link: make it a directory.")
    target.mkdir(parents=True, exist_ok=True)
    excluded = [f"--exclude=/{name}" for name in without]
    argv = ["rsync", "-aAX", "--delete", "--delete-excluded", "--numeric-ids", "--modify-window=-1", *excluded]
    result = processes.run([*argv, f"{source}/", f"{target}/"], check=False)
    if result.status:
        raise CorpusError(f"Copying {source} to {target} failed: {_reason(result)}")


def can_reflink(source: Path, folder: Path) -> bool:
    """Tell whether files under ``source`` can share their blocks with copies in ``folder`` (btrfs, XFS)."""
    sample = next((path for path in walk(source) if path.is_file() and not path.is_symlink()), None)
    if sample is None or sample.stat().st_dev != folder.stat().st_dev:
        return False
    probe = folder / f".reflink-probe-{os.getpid()}"
    try:
        return processes.run(["cp", "--reflink=always", sample, probe], check=False).status == 0
    finally:
        probe.unlink(missing_ok=True)


def identity(tree: Path) -> int | None:
    """Return the inode number of a directory, by which it is known again after an exchange; None when absent."""
    try:
        return tree.stat().st_ino
    except FileNotFoundError:
        return None


def walk(folder: Path) -> Iterator[Path]:
    """Yield everything below ``folder`` in a stable order, without following links."""
    for entry in entries(folder):
        yield Path(entry.path)


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below ``folder`` as :func:`walk` does; asking an entry of what kind it is costs nothing."""
    waiting = _sorted(folder)
    while waiting:
        entry = waiting.pop()
        yield entry
        if entry.is_dir(follow_symlinks=False):
            waiting += _sorted(entry.path)


def _sorted(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, the last first; nothing when it is gone."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name, reverse=True)
    except FileNotFoundError:
        return []


def size(folder: Path) -> int:
    """Return the bytes that the files below ``folder`` take on disk; hard links count once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for entry in entries(folder):
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        total += status.st_blocks * 512
    return total


def share(folder: Path, like: Path) -> None:
    """Let every file below ``folder`` that ``like`` has in the same place, with the same content, mode and owner, be that one.

    By hard links: for trees that nobody writes to any more. A file whose time stamp is the same, too, is not read. A shared
    file has the time stamp of the one in ``like``.
    """
    half = folder.with_name(".sharing")
    half.unlink(missing_ok=True)
    start = len(str(folder)) + 1
    for entry in entries(folder):
        with suppress(OSError):  # what cannot be read or linked stays as it is
            if entry.is_file(follow_symlinks=False) and _is_same(entry, other := str(like / entry.path[start:])):
                os.link(other, half)
                os.replace(half, entry.path)
    half.unlink(missing_ok=True)


def _is_same(entry: os.DirEntry[str], other: str) -> bool:
    one, two = entry.stat(follow_symlinks=False), os.lstat(other)
    if one.st_ino == two.st_ino or not one.st_size:
        return False
    facts = [(status.st_dev, status.st_mode, status.st_uid, status.st_gid, status.st_size) for status in (one, two)]
    if facts[0] != facts[1] or os.listxattr(entry.path) or os.listxattr(other):
        return False
    return one.st_mtime_ns == two.st_mtime_ns or filecmp.cmp(entry.path, other, shallow=False)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def free(folder: Path) -> int:
    """Return the bytes that we may still write where ``folder`` lies."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def remove(folder: Path) -> None:
    """Remove a tree that may be only half there, or not at all.

    It is renamed first, so that what bears a meaningful name is always whole.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    doomed = folder.with_name(f".removed-{folder.name}-{uuid.uuid4().hex[:8]}")
    folder.rename(doomed)
    _discard(doomed)


def sweep(parent: Path) -> None:
    """Finish removals in ``parent`` that were cut short."""
    for doomed in parent.glob(".removed-*"):
        _discard(doomed)


def _discard(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    with suppress(OSError):
        shutil.rmtree(folder)
        return
    # Only root is not stopped by folders that were made read-only or unreadable.
    _open_up(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise CorpusError(f"{folder} cannot be removed: something in it belongs to somebody else, or is in use.")


def _open_up(folder: Path) -> None:
    with suppress(OSError):
        folder.chmod(0o700)
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                _open_up(Path(entry.path))


def wipe(folder: Path) -> None:
    """Make ``folder`` an empty directory with the owner and mode it had.

    :raises UsageError: it is a link
    """
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link: make it a directory.")
    if not folder.exists():
        folder.mkdir(parents=True)
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _discard(entry)
        else:
            entry.unlink()
