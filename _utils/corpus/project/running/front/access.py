"""Where nginx's workers must get in, and what they write about who came: access to folders, logs of requests.

A log stands where only corpus writes: nginx opens it as root, and a project's user must not choose what that is.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import pwd
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

from corpus import files
from corpus.errors import CorpusError
from corpus.project.layout import Layout
from corpus.project.running.front.served_files import Served

_LARGEST = 16 << 20  # bytes of a log before it is put away
_KEPT = 5

# A POSIX access control list, as Linux stores it (acl(5), linux/posix_acl_xattr.h).
_ACL = "system.posix_acl_access"
_VERSION, _ENTRY, _NOBODY = 2, struct.Struct("<HHI"), 0xFFFFFFFF
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20


def let_in(served: Iterable[Served], data: Path) -> None:
    """Let nginx's workers walk through the data folder, which is closed to others, to what is served from below it."""
    if os.geteuid() != 0 or not any(one.base == str(data) for one in served) or not data.is_dir():
        return
    from corpus.project.running.front.nginx import web_user

    handle = os.open(data, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _let_walk(handle, pwd.getpwnam(web_user()).pw_uid)
    finally:
        os.close(handle)


def _let_walk(folder: int, uid: int) -> None:
    """Give a user the right to walk through a folder, and no other."""
    try:
        entries = list(_ENTRY.iter_unpack(os.getxattr(folder, _ACL)[4:]))
    except OSError as err:
        if err.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        mode = os.fstat(folder).st_mode
        entries = [(_OWNER, mode >> 6 & 7, _NOBODY), (_GROUP, mode >> 3 & 7, _NOBODY), (_OTHER, mode & 7, _NOBODY)]
    entries = [entry for entry in entries if entry[0] != _MASK and (entry[0], entry[2]) != (_USER, uid)]
    entries.append((_USER, 1, uid))
    mask = 0
    for tag, rights, _ in entries:
        mask |= rights if tag not in (_OWNER, _OTHER) else 0
    entries.append((_MASK, mask, _NOBODY))
    packed = struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(*entry) for entry in sorted(entries, key=_order))
    try:
        os.setxattr(folder, _ACL, packed)
    except OSError as err:
        if err.errno != errno.EOPNOTSUPP:
            raise
        os.fchmod(folder, os.fstat(folder).st_mode & 0o7777 | 0o001)  # no lists on this file system


def _order(entry: tuple[int, int, int]) -> tuple[int, int]:
    return entry[0], entry[2]


def log(front: Path, layout: Layout, group: str) -> Path:
    """Return the log of a project's requests, readable by its group, and link it among its other logs."""
    folder = front / "logs" / layout.name
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = folder / "access.log"
    _make(path)
    if os.geteuid() == 0:
        for one in (folder, path):
            shutil.chown(one, "root", group)
    if layout.logs.is_dir():
        with contextlib.suppress(CorpusError, OSError):  # something of the project's own stands there
            files.link(layout.logs / "access.log", path)
    return path


def _make(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640))


def rotate(path: Path) -> bool:
    """Put a log away when it is large, and begin a new one; return whether nginx must open it again."""
    try:
        known = path.stat()
    except FileNotFoundError:
        return False
    first = path.with_name(f"{path.name}.1")
    if first.exists():  # nobody writes there any more
        _pack(first)
    if known.st_size < _LARGEST:
        return False
    for number in range(_KEPT, 2, -1):
        younger = path.with_name(f"{path.name}.{number - 1}.gz")
        if younger.exists():
            younger.replace(path.with_name(f"{path.name}.{number}.gz"))
    path.replace(first)
    _make(path)
    if os.geteuid() == 0:
        os.chown(path, known.st_uid, known.st_gid)
    return True


def _pack(first: Path) -> None:
    """Compress the log that was put away last time."""
    packed = first.with_name(first.name.removesuffix(".1") + ".2.gz")
    known = first.stat()
    with first.open("rb") as plain, files.private_umask(), gzip.open(packed, "wb") as target:
        shutil.copyfileobj(plain, target)
    packed.chmod(known.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(packed, known.st_uid, known.st_gid)
    first.unlink()
