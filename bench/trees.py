"""Trees of a given size, as applications have them: many small files and a few big ones."""

import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path

_KB, _MB = 10**3, 10**6
_FEW = 4


def grow(folder: Path, megabytes: int) -> list[Path]:
    """Make a tree: half of its bytes in files of 50 kB, half in four big ones. Return its files, small ones first.

    The bytes are random: nothing packs them, and no two files are alike.
    """
    half = megabytes * _MB // 2
    files = []
    for number in range(half // (50 * _KB)):
        path = folder / f"{number // 100:03}" / f"{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(50 * _KB))
        files.append(path)
    for number in range(_FEW):
        path = folder / f"big-{number}"
        path.write_bytes(os.urandom(half // _FEW))
        files.append(path)
    return files


def change(files: list[Path], dice: random.Random) -> int:
    """Write a new content of the same length into some files, and return how many bytes that were."""
    for path in files:
        path.write_bytes(dice.randbytes(path.stat().st_size))
    return sum(path.stat().st_size for path in files)


def size(folders: Iterable[Path]) -> int:
    """Return the bytes that folders take on disk together; what they share by hard links counts once."""
    told = subprocess.run(
        ["du", "--summarize", "--total", "--block-size=1", *folders], check=True, capture_output=True, text=True
    )
    return int(told.stdout.splitlines()[-1].split()[0])
