"""Small files that must be whole or absent: written apart, flushed to disk, renamed into place."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpus.errors import CorpusError

_RENAME_EXCHANGE = 2  # linux/fs.h, renameat2(2)
_AT_FDCWD = -100


def write(path: Path, content: str, mode: int = 0o644) -> bool:
    """Make ``path`` hold ``content`` with permission bits ``mode``; return whether anything changed."""
    try:
        if path.read_bytes() == content.encode() and (path.stat().st_mode & 0o7777) == mode:
            return False
    except FileNotFoundError:
        pass
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush_folder(path.parent)
    return True


def write_json(path: Path, value: Any, mode: int = 0o600) -> bool:
    """Like :func:`write`, for a JSON value; what JSON does not know is stored as its text."""
    return write(path, json_text(value), mode)


def json_text(value: Any) -> str:
    """Return a value as JSON, in one way always; what JSON does not know is its text."""
    return json.dumps(_with_text_keys(value), indent=1, sort_keys=True, default=str) + "\n"


def _with_text_keys(value: Any) -> Any:
    """YAML has mappings with keys of several types, which JSON can neither hold nor sort."""
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(inner) for inner in value]
    return value


def read_json(path: Path, missing: Any = None) -> Any:
    """Return the JSON value in ``path``, or ``missing`` when there is no such file.

    :raises CorpusError: the file is not JSON
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return missing
    except ValueError as err:
        raise CorpusError(f"{path} is damaged ({err}): restore it from a backup or remove it.") from err


def link(path: Path, target: str | Path) -> bool:
    """Make ``path`` a symbolic link to ``target``, atomically; return whether anything changed.

    :raises CorpusError: something else than a link stands there
    """
    if path.is_symlink():
        if os.readlink(path) == str(target):
            return False
    elif path.exists():
        raise CorpusError(f"{path} should be a link to {target}, but something else stands there: move it away.")
    temporary = path.parent / f".{path.name}.{os.getpid()}.link"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, path)
    return True


def flush_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut (fsync(2) of the directory)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def private_umask() -> Iterator[None]:
    """Create files that nobody else can read while the block runs."""
    previous = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(previous)


def exchange(one: Path, other: Path) -> None:
    """Swap two directories of one file system in one atomic step (renameat2(2), RENAME_EXCHANGE).

    :raises CorpusError: the file system or the kernel cannot
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        hint = (
            " (a file system with renameat2 is needed: ext4, XFS, btrfs)"
            if code in (errno.EINVAL, errno.ENOSYS)
            else ""
        )
        raise CorpusError(f"Cannot exchange {one} and {other}: {os.strerror(code)}{hint}.")
