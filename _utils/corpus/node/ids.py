"""Ids of unprivileged containers: users and groups of the host that are nobody there and everybody in a container.

On disk a container's files keep the ids that they have inside; its mount shifts them. So clones, snapshots and copies
to other nodes need not change anything. The kernel and the file system must be able to do that, which is tried.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corpus import files
from corpus.errors import CorpusError

#: A whole system's users, or groups
COUNT = 65536
#: Where root's range begins when nobody else has it
FIRST = 1_000_000_000
_FILES = ("subuid", "subgid")

# The system calls have these numbers on every architecture that Linux got after them.
_OPEN_TREE, _MOUNT_SETATTR = 428, 442
_OPEN_TREE_CLONE, _AT_EMPTY_PATH, _AT_FDCWD, _MOUNT_ATTR_IDMAP = 1, 0x1000, -100, 0x00100000


def idmap(etc: Path = Path("/etc")) -> tuple[int, int]:
    """Return the first of the users and of the groups that unprivileged containers may be, on the host.

    :raises CorpusError: root was given none
    """
    first = []
    for name in _FILES:
        file = etc / name
        ours = [row for row in _ranges(file) if row[0] in ("root", "0") and row[2] >= COUNT]
        if not ours:
            raise CorpusError(
                f"No unprivileged containers here: {file} gives root no {COUNT} ids. "
                f"Add a line such as root:{FIRST}:{COUNT} to /etc/subuid and /etc/subgid."
            )
        first.append(ours[0][1])
    return first[0], first[1]


def give(etc: Path = Path("/etc"), test: bool = False) -> list[str]:
    """Give root a range of users and one of groups, where it has none that is large enough; nobody else's is in it.

    :param test: change nothing
    :returns: what was done, in one phrase each
    """
    done = []
    for name in _FILES:
        file = etc / name
        rows = _ranges(file)
        if any(owner in ("root", "0") and count >= COUNT for owner, _, count in rows):
            continue
        first = FIRST
        for _, start, count in sorted(rows, key=lambda row: row[1]):
            if start < first + COUNT and first < start + count:
                first = start + count
        line = f"root:{first}:{COUNT}\n"
        if not test:
            present = file.read_text(encoding="utf-8") if file.is_file() else ""
            files.write(file, present + ("" if not present or present.endswith("\n") else "\n") + line)
        done.append(f"{line.strip()} in {file}")
    return done


def _ranges(file: Path) -> list[tuple[str, int, int]]:
    """Return whose ranges stand in a file: owner, first id, how many."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    rows = [line.strip().split(":") for line in lines]
    return [
        (row[0], int(row[1]), int(row[2])) for row in rows if len(row) == 3 and row[1].isdigit() and row[2].isdigit()
    ]


def admit(folder: Path, etc: Path = Path("/etc")) -> None:
    """Let the roots of unprivileged containers pass through a folder, and no other user of the host.

    A program that belongs to root in a container belongs to root on disk: whoever else reached it could become root.

    :raises CorpusError: root has no range
    """
    os.chown(folder, 0, idmap(etc)[1])
    folder.chmod(0o710)


def hindrance(folder: Path, etc: Path = Path("/etc")) -> str | None:
    """Return why there can be no unprivileged containers in a folder; None when there can."""
    try:
        users, groups = idmap(etc)
    except CorpusError:
        return f"root has no range of {COUNT} ids in {' and '.join(str(etc / name) for name in _FILES)}"
    for above in folder.resolve().parents:
        status = above.stat()
        bit = 0o100 if status.st_uid == users else 0o010 if status.st_gid == groups else 0o001
        if not status.st_mode & bit:
            return f"{above} lets nobody through: a container's root must be able to pass to {folder}"
    try:
        with _namespace(users, groups) as namespace:
            _shift(folder, namespace)
    except OSError as err:
        return f"its kernel cannot shift ids in {folder} ({err.strerror})"
    return None


@contextmanager
def _namespace(users: int, groups: int) -> Iterator[int]:
    """Give a descriptor of a user namespace to the block, with the ids of unprivileged containers."""
    words = ["unshare", "--user", "sh", "-c", "echo; read _"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise OSError(0, "user namespaces are off")
            for kind, first in (("uid", users), ("gid", groups)):
                Path(f"/proc/{process.pid}/{kind}_map").write_text(f"0 {first} {COUNT}")
            handle = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield handle
            finally:
                os.close(handle)
        finally:
            process.kill()


def _shift(path: Path, namespace: int) -> None:
    """Try to shift ids in a mount of ``path`` that nobody ever sees.

    :raises OSError: the kernel, or its file system, cannot
    """
    call = ctypes.CDLL(None, use_errno=True).syscall
    tree = call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC))
    if tree < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        wish = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        if call(_MOUNT_SETATTR, tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), wish, ctypes.c_size_t(len(wish))) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(tree)
