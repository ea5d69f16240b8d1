"""Where containers live: a pool, which is a folder with images, containers and snapshots, on one of three drivers.

``btrfs`` clones an image in no time and limits what a container may store. ``overlay`` clones in no time, too;
``directory`` copies. Neither of these two can limit anything, and they say so.

What is made is made in the folder ``half`` and appears in its place by one rename: a process that was killed leaves
nothing but a rest in ``half``, which the next call for the same name removes.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import files, processes
from corpus.errors import CorpusError, UsageError
from corpus.node import ids, names

#: Where a node has its pool unless it is told otherwise
DEFAULT = Path("/srv/corpus/pool")

_BTRFS_ROOT_INODE = 256  # btrfs: the inode of every subvolume's top folder
_SETTINGS = "pool.json"


class Directory:
    """How a pool stores root file systems. A home is a folder; its root file system is at ``<home>/rootfs``."""

    name = "directory"
    quota = False
    """Whether what a container stores can be limited."""
    instant = False
    """Whether a copy is made at one instant, so that nothing need stand still meanwhile."""
    shifts = True
    """Whether LXC can shift ids in it, as unprivileged containers need it."""

    def __init__(self, pool: Path) -> None:
        self.pool = pool

    def make(self, home: Path, image: Path | None) -> None:
        """Make the root file system of a home: the image's content, or nothing."""
        root = home / "rootfs"
        root.mkdir(mode=0o755)
        if image is not None:
            self._fill(image, root)

    def copy(self, home: Path, other: Path) -> None:
        """Make the root file system of ``other`` a copy of that of ``home``."""
        (other / "rootfs").mkdir(mode=0o755)
        self._fill(home / "rootfs", other / "rootfs")

    def keep(self, home: Path, other: Path) -> None:
        """Like :meth:`copy`, for a copy that nothing shall change."""
        self.copy(home, other)

    def image(self, half: Path, folder: Path) -> None:
        """Make ``folder``, an image, of the root file system of ``half``; it appears whole."""
        os.rename(half / "rootfs", folder)

    def seal(self, folder: Path) -> None:
        """Let nothing change an image any more, where the driver can."""

    def remove(self, tree: Path) -> None:
        """Remove a folder with everything in it."""
        if tree.is_dir() and not tree.is_symlink():
            processes.run(["rm", "-rf", "--one-file-system", "--", tree])
        else:
            tree.unlink(missing_ok=True)

    def rootfs(self, home: Path, image: Path | None) -> str:
        """The value of ``lxc.rootfs.path``."""
        return f"dir:{home / 'rootfs'}"

    def layers(self, home: Path, image: Path | None) -> list[Path]:
        """The folders that make the root file system, the writable one first."""
        return [home / "rootfs"]

    def limit(self, home: Path, size: int) -> None:
        """Let the root file system of a home hold at most ``size`` bytes.

        :raises CorpusError: the driver cannot
        """
        raise CorpusError(
            f"The pool {self.pool} cannot limit the size of containers: its driver is {self.name}; use a btrfs pool."
        )

    def limited(self, home: Path) -> int | None:
        """The most bytes that the root file system may hold; None: there is no limit."""
        return None

    def used(self, home: Path) -> int:
        """Bytes that the root file system holds (of an overlay: what is not the image's)."""
        done = processes.run(["du", "-sx", "-B1", "--", home / "rootfs"], check=False)  # files vanish while it counts
        return int(done.output.split()[0]) if done.output else 0

    def _fill(self, source: Path, target: Path) -> None:
        # 24: files vanished while they were read
        done = processes.run(["rsync", "-aHAX", "--numeric-ids", "--sparse", f"{source}/", f"{target}/"], check=False)
        if done.status not in (0, 24):
            raise CorpusError(f"Copying {source} to {target} failed: {done.last_words}")


class Overlay(Directory):
    """Each container's own files lie over the image, which is shared."""

    name = "overlay"
    shifts = False

    def make(self, home: Path, image: Path | None) -> None:
        (home / "rootfs").mkdir(mode=0o755)

    def rootfs(self, home: Path, image: Path | None) -> str:
        if image is None:
            return super().rootfs(home, image)
        for path in (home, image):
            if ":" in str(path):
                raise UsageError(f"{path}: an overlay's path cannot have a ':'.")
        return f"overlay:{image}:{home / 'rootfs'}"

    def layers(self, home: Path, image: Path | None) -> list[Path]:
        return [home / "rootfs", *([image] if image else [])]


class Btrfs(Directory):
    """Every root file system is a subvolume, an image a read-only one; quota groups limit them."""

    name = "btrfs"
    quota = True
    instant = True

    def make(self, home: Path, image: Path | None) -> None:
        if image is None:
            processes.run(["btrfs", "subvolume", "create", home / "rootfs"])
        else:
            processes.run(["btrfs", "subvolume", "snapshot", image, home / "rootfs"])

    def copy(self, home: Path, other: Path) -> None:
        processes.run(["btrfs", "subvolume", "snapshot", home / "rootfs", other / "rootfs"])

    def keep(self, home: Path, other: Path) -> None:
        processes.run(["btrfs", "subvolume", "snapshot", "-r", home / "rootfs", other / "rootfs"])

    def image(self, half: Path, folder: Path) -> None:
        super().image(half, folder)
        self.seal(folder)

    def seal(self, folder: Path) -> None:
        processes.run(["btrfs", "property", "set", "-ts", folder, "ro", "true"])

    def remove(self, tree: Path) -> None:
        if _is_subvolume(tree):
            self._delete(tree)
        elif _is_subvolume(tree / "rootfs"):
            self._delete(tree / "rootfs")
        try:
            super().remove(tree)
        except CorpusError:
            if not _is_subvolume(tree / "rootfs"):
                raise
            # A program that a killed call had started made it after we looked.
            self._delete(tree / "rootfs")
            super().remove(tree)

    def _count_what_goes(self) -> None:
        """Let the kernel count what a deleted subvolume frees. By default it does not, and then no limit holds any more."""
        shown = processes.run(["btrfs", "filesystem", "show", self.pool], check=False).output
        found = re.search(r"uuid: ([0-9a-f-]{36})", shown)
        if found:
            with suppress(OSError):  # an older kernel always counts; a container may not tell it
                Path(f"/sys/fs/btrfs/{found[1]}/qgroups/drop_subtree_threshold").write_text("8")

    def _delete(self, subvolume: Path) -> None:
        self._count_what_goes()
        # What is not written out when a subvolume goes confuses the kernel's count.
        processes.run(["btrfs", "filesystem", "sync", self.pool])
        number = _number(subvolume)
        done = processes.run(["btrfs", "subvolume", "delete", subvolume], check=False)
        if done.status:  # whoever is root in a container may have made subvolumes inside of it
            processes.run(["btrfs", "property", "set", "-ts", subvolume, "ro", "false"])
            for inner in _subvolumes_inside(subvolume):
                self._delete(inner)
            processes.run(["btrfs", "subvolume", "delete", subvolume])
        processes.run(["btrfs", "qgroup", "destroy", f"0/{number}", self.pool], check=False)

    def limit(self, home: Path, size: int) -> None:
        processes.run(["btrfs", "qgroup", "limit", str(size), home / "rootfs"])
        self._group(home)  # see that it holds

    def limited(self, home: Path) -> int | None:
        return self._group(home)[1]

    def used(self, home: Path) -> int:
        processes.run(["btrfs", "filesystem", "sync", self.pool])  # what was not written out is not counted yet
        return self._group(home)[0]

    def _group(self, home: Path) -> tuple[int, int | None]:
        """Bytes referenced, and the most that may be."""
        root = home / "rootfs"
        argv: list[str | Path] = ["btrfs", "qgroup", "show", "-f", "-r", "--raw", root]
        done = processes.run(argv)
        if "inconsistent" in done.errors:
            processes.run(["btrfs", "quota", "rescan", "-w", self.pool], check=False)  # or another call does it already
            processes.run(["btrfs", "quota", "rescan", "-W", self.pool], check=False)
            done = processes.run(argv)
        wanted = f"0/{_number(root)}"
        for line in done.output.splitlines():
            words = line.split()
            if words and words[0] == wanted:
                return int(words[1]), int(words[3]) if words[3].isdigit() else None
        raise CorpusError(f"{root} has no quota group: run mc_lxc.pool_init again.")


def _is_subvolume(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and path.stat().st_ino == _BTRFS_ROOT_INODE


def _subvolumes_inside(tree: Path) -> Iterator[Path]:
    """Yield the subvolumes that stand in another, without what stands in them.

    By their inodes: btrfs' own list shows names as they are, line feeds that a container put in included.
    """
    for place, folders, _ in os.walk(tree):
        for name in list(folders):
            if _is_subvolume(Path(place, name)):
                folders.remove(name)
                yield Path(place, name)


def _number(subvolume: Path) -> int:
    """The id of a subvolume, which is also that of its quota group."""
    return int(processes.run(["btrfs", "inspect-internal", "rootid", subvolume]).output)


DRIVERS: dict[str, type[Directory]] = {driver.name: driver for driver in (Btrfs, Overlay, Directory)}


@dataclass(frozen=True)
class Image:
    """A root file system that containers are made from."""

    name: str
    """``<name>-<version>``, its folder in the pool"""
    family: str
    """The name without the version"""
    imported: str
    """When it came into the pool (UTC, ISO 8601)"""


@dataclass(frozen=True)
class Pool:
    """A folder that holds images, containers and snapshots. ``path`` is absolute."""

    path: Path
    driver: Directory

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> Pool:
        """Return the pool at a path.

        :raises CorpusError: there is none
        """
        folder = Path(path or DEFAULT)
        settings = files.read_json(folder / _SETTINGS)
        if settings is None:
            raise CorpusError(f"There is no pool at {folder}: make it with mc_lxc.pool_init, or mount it.")
        return cls(folder, DRIVERS[settings["driver"]](folder))

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def containers(self) -> Path:
        """What LXC calls lxcpath."""
        return self.path / "containers"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def half(self) -> Path:
        """What is being made, or taken away."""
        return self.path / "half"

    def admit(self, etc: Path = Path("/etc")) -> None:
        """Let the roots of unprivileged containers reach their containers.

        :raises CorpusError: there can be no such containers
        """
        if not self.driver.shifts:
            raise UsageError(
                f"No unprivileged containers on an {self.driver.name} pool: LXC shifts ids on btrfs or directory alone."
            )
        ids.admit(self.path, etc)

    def hindrance(self, etc: Path = Path("/etc")) -> str | None:
        """Return why there can be no unprivileged containers in it; None when there can."""
        if not self.driver.shifts:
            return f"the driver of its pool is {self.driver.name}"
        return ids.hindrance(self.path, etc)

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Hold what has a name in this pool; wait for whoever holds it."""
        lock = self.path / "locks" / name
        while True:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                same = os.stat(lock).st_ino == os.fstat(handle).st_ino
            except FileNotFoundError:
                same = False
            if same:
                break
            os.close(handle)  # whoever had it removed it meanwhile
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            os.close(handle)

    def fresh(self, name: str) -> Path:
        """Return an empty folder in which ``name`` is made; what an earlier attempt left there goes."""
        self.discard(self.half / name)
        (self.half / name).mkdir(mode=0o711)
        return self.half / name

    def discard(self, tree: Path) -> None:
        """Remove a home or an image: it is gone from its place at once, then its content goes."""
        if not os.path.lexists(tree):
            return
        if tree.parent != self.half and not _is_subvolume(tree):  # which goes at once, and may be read-only
            rest = self.half / f"{tree.name}.gone"
            self.driver.remove(rest)
            os.rename(tree, rest)
            tree = rest
        self.driver.remove(tree)

    def import_image(self, archive: str | os.PathLike[str], name: str, version: str) -> bool:
        """Make the image ``<name>-<version>`` of an archive (tar, compressed or not) or a folder.

        An image is never changed: where it is already, nothing is done.

        :returns: whether it was imported now
        :raises CorpusError: it cannot be read
        """
        family, full = names.image(name), names.image(f"{name}-{version}")
        source, target = Path(archive), self.images / full
        with self.turn(f"image.{full}"):
            if target.is_dir():
                self.driver.seal(target)  # a call that was killed may not have come to it
                return False
            if not source.exists():
                raise UsageError(f"There is no {source} to import an image from.")
            half = self.fresh(f"image.{full}")
            self.driver.make(half, None)
            if source.is_dir():
                words: list[str | Path] = ["rsync", "-aHAX", "--numeric-ids", f"{source}/", f"{half}/rootfs/"]
            else:
                kept = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--same-permissions"]
                words = ["tar", "--extract", *kept, f"--file={source}", f"--directory={half}/rootfs"]
            processes.run(words)
            (half / "rootfs").chmod(0o755)
            imported = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
            files.write_json(self.images / f"{full}.json", {"family": family, "imported": imported})
            self.driver.image(half, target)
            self.discard(half)
            return True

    def list_images(self) -> dict[str, Image]:
        """Return the images, the oldest first."""
        found = []
        for file in self.images.glob("*.json"):
            name = file.name.removesuffix(".json")
            if (self.images / name).is_dir():
                found.append(Image(name, **files.read_json(file)))
        return {image.name: image for image in sorted(found, key=lambda image: image.imported)}

    def image(self, name: str) -> Path:
        """Return the folder of an image.

        :param name: ``<name>-<version>``, or the name alone for the one that was imported last
        :raises UsageError: there is no such image
        """
        if (self.images / names.image(name)).is_dir():
            return self.images / name
        known = self.list_images()
        latest = [image.name for image in known.values() if image.family == name]
        if not latest:
            raise UsageError(f"The pool has no image {name}: it has {', '.join(known) or 'none'}.")
        return self.images / latest[-1]

    def remove_image(self, name: str) -> bool:
        """Remove an image; return whether it was there.

        :raises CorpusError: containers still lie over it
        """
        target = self.images / names.image(name)
        with self.turn(f"image.{name}"):
            there = target.is_dir()
            if there and isinstance(self.driver, Overlay):
                users = sorted(
                    file.parent.name
                    for file in [*self.containers.glob("*/corpus.json"), *self.snapshots.glob("*/*/corpus.json")]
                    if files.read_json(file, {}).get("image") == name
                )
                if users:
                    raise CorpusError(f"The image {name} is in use by {', '.join(users)}.")
            self.discard(target)
            self.discard(self.half / f"image.{name}")
            self.discard(self.half / f"{name}.gone")
            (self.images / f"{name}.json").unlink(missing_ok=True)
            return there

    def facts(self) -> dict[str, Any]:
        """Return what the pool is: path, driver, whether it has quotas, bytes in all and free, images."""
        room = shutil.disk_usage(self.path)
        return {
            "path": str(self.path),
            "driver": self.driver.name,
            "quota": self.driver.quota,
            "total": room.total,
            "used": room.used,
            "free": room.free,
            "images": list(self.list_images()),
        }


def initialize(
    path: str | os.PathLike[str] | None = None,
    driver: str = "btrfs",
    size: int | None = None,
    boot: bool = True,
    etc: Path = Path("/etc"),
    test: bool = False,
) -> tuple[Pool | None, list[str]]:
    """Make a pool, or make one whole that was half-made.

    :param driver: ``btrfs``, ``overlay`` or ``directory``
    :param size: bytes of the file that holds a btrfs pool where ``path`` is on another file system; it may only grow
    :param boot: mount it and start its containers when the machine starts
    :param etc: where ``fstab`` and systemd's units are
    :param test: change nothing
    :returns: the pool (None when it is not there and ``test``), and what was done in one phrase each
    :raises CorpusError: it is a pool of another driver already, or the machine cannot
    """
    folder = Path(path or DEFAULT)
    if not folder.is_absolute() or any(sign in str(folder) for sign in ",: \t\n#\\"):
        raise UsageError(f"{folder} cannot be a pool: use an absolute path without spaces, ',', ':' or '#'.")
    if driver not in DRIVERS:
        raise UsageError(f"There is no storage driver {driver!r}: use {', '.join(DRIVERS)}.")
    done: list[str] = []
    if driver == "btrfs":
        done += _mounted(folder, size, boot, etc, test)
    known = files.read_json(folder / _SETTINGS)
    if known is not None and known["driver"] != driver:
        raise UsageError(f"The pool {folder} has the driver {known['driver']}, which cannot be changed.")
    if known is None:
        done.append(f"a {driver} pool at {folder}")
    if test:
        return (Pool.open(folder) if known else None), done
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever reached a program that is root's in a container could become root here: the way in is its group's alone.
    folder.chmod(0o710)
    for name, mode in (
        ("images", 0o711),
        ("containers", 0o711),
        ("snapshots", 0o700),
        ("half", 0o711),
        ("locks", 0o700),
    ):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(mode)
    if driver == "overlay":
        _try_overlay(folder / "half")
    files.write_json(folder / _SETTINGS, {"driver": driver})
    pool = Pool.open(folder)
    with suppress(CorpusError):  # where there can be none
        pool.admit(etc)
    if boot and (etc / "systemd/system").is_dir():
        done += _started_at_boot(folder, etc)
    return pool, done


def _mounted(folder: Path, size: int | None, boot: bool, etc: Path, test: bool) -> list[str]:
    """Make sure that ``folder`` is on btrfs with quotas, by a file of its own where need be."""
    done = []
    image = folder.with_name(f"{folder.name}.btrfs")
    above = next(place for place in (folder, *folder.parents) if place.exists())
    if image.exists() or _file_system(above) != "btrfs":
        if size is None and not image.exists():
            raise UsageError(f"{above} is not on btrfs: say the size of the file that shall hold the pool {folder}.")
        done += _file(image, size, test)
        if not os.path.ismount(folder):
            done.append(f"{image} mounted on {folder}")
            if not test:
                folder.mkdir(parents=True, exist_ok=True)
                processes.run(["mount", "-t", "btrfs", "-o", "loop,noatime", image, folder])
        if boot:
            done += _fstab(image, folder, etc / "fstab", test)
    if test:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    if size is not None and os.path.ismount(folder) and image.exists():
        device = processes.run(["findmnt", "-n", "-o", "SOURCE", "--target", folder]).output.split("[")[0].strip()
        processes.run(["losetup", "--set-capacity", device], check=False)
        processes.run(["btrfs", "filesystem", "resize", "max", folder])
    processes.run(["btrfs", "quota", "enable", folder])
    return done


def _file_system(path: Path) -> str:
    return processes.run(["stat", "-f", "-c", "%T", path]).output.strip()


def _file(image: Path, size: int | None, test: bool) -> list[str]:
    """Make the file that holds a pool, or let it grow."""
    if image.exists():
        if size is None or image.stat().st_size >= size:
            return []
        if not test:
            os.truncate(image, size)
        return [f"{image} grown to {size} bytes"]
    if not test:
        image.parent.mkdir(parents=True, exist_ok=True)
        half = image.with_name(f".{image.name}.half")
        half.unlink(missing_ok=True)
        with half.open("wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.truncate(size)
        processes.run(["mkfs.btrfs", "--quiet", half])
        os.rename(half, image)
    return [f"{image}, {size} bytes"]


def _fstab(image: Path, folder: Path, fstab: Path, test: bool) -> list[str]:
    line = f"{image} {folder} btrfs loop,noatime,nofail 0 0"
    present = fstab.read_text(encoding="utf-8") if fstab.exists() else ""
    if line in present.splitlines():
        return []
    if not test:
        files.write(fstab, "".join([present, "" if present.endswith("\n") or not present else "\n", line, "\n"]))
    return [f"a line in {fstab}"]


def _try_overlay(folder: Path) -> None:
    """:raises CorpusError: an overlay's writable layer cannot be in this folder"""
    for name in ("lower", "upper", "work", "all"):
        (folder / f"try.{name}").mkdir(exist_ok=True)
    options = ",".join(
        f"{key}={folder}/try.{name}"
        for key, name in (("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work"))
    )
    try:
        # In a mount namespace of its own: whatever ends this process, nothing stays mounted.
        words: list[str | Path] = [
            "unshare",
            "--mount",
            "mount",
            "-t",
            "overlay",
            "overlay",
            "-o",
            options,
            folder / "try.all",
        ]
        done = processes.run(words, check=False)
    finally:
        for name in ("lower", "upper", "work", "all"):
            shutil.rmtree(folder / f"try.{name}", ignore_errors=True)
    if done.status:
        raise CorpusError(
            f"There can be no overlay pool at {folder.parent} ({done.last_words}): use btrfs or directory."
        )


_UNIT = """\
[Unit]
Description=Containers of corpus
After=network-online.target lxc-net.service
Wants=network-online.target
RequiresMountsFor={pool}

[Service]
Type=oneshot
RemainAfterExit=yes
Delegate=yes
ExecStart={start} -P {containers}
# That is how it ends when there is no container yet.
SuccessExitStatus=1
ExecStop={start} -P {containers} --shutdown --timeout 60
TimeoutStartSec=0
TimeoutStopSec=300
KillMode=none

[Install]
WantedBy=multi-user.target
"""


def _started_at_boot(folder: Path, etc: Path) -> list[str]:
    units = etc / "systemd/system"
    text = _UNIT.format(pool=folder, containers=folder / "containers", start=processes.which("lxc-autostart"))
    changed = files.write(units / "corpus-containers.service", text)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    link = units / "multi-user.target.wants/corpus-containers.service"
    changed = files.link(link, "../corpus-containers.service") or changed
    return ["corpus-containers.service"] if changed else []
