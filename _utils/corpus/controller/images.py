"""Golden images: root file systems that guests are cloned from, with systemd, sshd, Salt and this pack inside.

An image is an archive in the controller's folder ``images``, and what is told of it beside it::

    debian-3f9a1c0b77de.tar.zst             the root file system
    debian-3f9a1c0b77de.json                its digest, what it was made of, when
    debian-3f9a1c0b77de.runtime.tar.zst     Salt and this pack alone, for machines that exist
    debian-3f9a1c0b77de.runtime.json

Its version is a digest of what it was made of: the same packages and the same pack make the same version, and the same
bytes. No key, no password, no machine id and nothing of the building machine's configuration is in it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from corpus import files, locks, processes, tree
from corpus.controller import access, runtime
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown

#: Debian's packages in every image
PACKAGES = (
    "ca-certificates",
    "cron",
    "dbus",
    "git",
    "iproute2",
    "logrotate",
    "nginx-light",
    "openssh-client",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "rsync",
    "sudo",
    "systemd",
    "systemd-sysv",
)
#: Where a guest reads which image it is of
TOLD_AT = "/etc/corpus/image.json"
#: Folder of a node to which images are sent
INBOX = "/srv/corpus/images"

_NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,30}")
_SUITE = re.compile(r"[a-z][a-z0-9-]{0,30}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,99}")
_VERSION = re.compile(r"[0-9a-f]{12}")
_MIRROR = re.compile(r"(?:https?|file|copy)://[A-Za-z0-9._:/+~-]{1,200}")
#: A change of how images are made, which their packages and files do not show
_RECIPE = 2
#: What is the machine's and not the image's
_NOT_KEPT = (
    "dev/*",
    "proc/*",
    "run/*",
    "sys/*",
    "tmp/*",
    "var/tmp/*",
    "etc/ssh/ssh_host_*",
    "etc/salt/pki/*",
    "etc/.pwd.lock",
    "etc/*-",
    "var/cache/apt/*",
    "var/cache/debconf/*-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/random-seed",
    "root/.cache",
)


@dataclass(frozen=True)
class Image:
    """An image that was built.

    :param name: of the family, such as ``debian``
    :param version: digest of what it was made of
    :param digest: of its archive, ``sha256:<hexadecimal>``
    :param content: of the archive before it was compressed, likewise
    :param size: of its archive, in bytes
    :param suite: Debian's
    :param machine: processor that it is for, as ``uname -m`` tells it
    :param python: version of its Python, ``3.11``
    :param recipe: digest of how it was asked for
    :param created: when it was built (UTC, ISO 8601)
    :param packages: version of each Debian package
    :param python_packages: version of each Python package of its runtime
    :param folder: absolute path of the folder that it is in
    """

    name: str
    version: str
    digest: str
    content: str
    size: int
    suite: str
    machine: str
    python: str
    recipe: str
    created: str
    packages: dict[str, str]
    python_packages: dict[str, str]
    folder: Path

    @property
    def full_name(self) -> str:
        """As nodes name it: ``<name>-<version>``."""
        return f"{self.name}-{self.version}"

    @property
    def archive(self) -> Path:
        """Absolute path of the root file system's archive."""
        return self.folder / f"{self.full_name}.tar.zst"

    @property
    def runtime(self) -> Path:
        """Absolute path of the archive with Salt and this pack alone."""
        return self.folder / f"{self.full_name}.runtime.tar.zst"

    @property
    def manifest(self) -> Path:
        """Absolute path of what is told of it."""
        return self.folder / f"{self.full_name}.json"

    def summary(self) -> dict[str, Any]:
        """Return what a list tells of it."""
        told = ("name", "version", "digest", "size", "suite", "machine", "python", "created")
        return {key: getattr(self, key) for key in told} | {"salt": self.python_packages.get("salt")}


def image_list(settings: Settings, name: str | None = None) -> list[Image]:
    """Return the images that there are, the oldest first.

    :param name: of a family; None: all
    """
    found = []
    for path in settings.images.glob("*.json"):
        told = files.read_json(path)
        if isinstance(told, dict) and "content" in told and path.stem == f"{told['name']}-{told['version']}":
            image = _read(told, settings.images)
            if image.archive.exists() and name in (None, image.name):
                found.append(image)
    return sorted(found, key=lambda image: (image.created, image.full_name))


def newest(settings: Settings, name: str) -> Image:
    """Return the newest image of a family.

    :raises UsageError: there is none
    """
    there = image_list(settings, _checked(_NAME, name, "an image"))
    if not there:
        raise UsageError(f"There is no image {name!r}: build it first (salt-run mc_compute_node.image_build).")
    return there[-1]


def find(settings: Settings, name: str, version: str | None = None) -> Image:
    """Return an image of a family, the newest when no version is named.

    :raises UsageError: there is none
    """
    if version is None:
        return newest(settings, name)
    for image in image_list(settings, name):
        if image.version == version:
            return image
    raise UsageError(f"There is no image {shown(name)} of version {shown(version)}: see mc_compute_node.image_list.")


def build(
    settings: Settings,
    name: str = "debian",
    suite: str = "bookworm",
    say: Callable[[str], None] = lambda line: None,
    *,
    packages: Sequence[str] = (),
    mirror: str = "",
    again: bool = False,
) -> Image:
    """Build an image, unless the newest of its family was asked for in the same way and is of the same pack.

    :param name: of the family
    :param suite: Debian's
    :param say: shows a line to whoever waits
    :param packages: more of Debian's packages
    :param mirror: of Debian, a url; empty: the usual one
    :param again: build it from nothing, with what Debian and Python's index have today; otherwise what an image of the
        same packages was made of is kept, and the pack alone is new
    :returns: the image; an image of the same version that was there already, when building made the same
    :raises CorpusError: a package was not to be had, or we are not root
    """
    _checked(_NAME, name, "an image")
    _checked(_SUITE, suite, "a suite of Debian")
    wanted = sorted({*PACKAGES, *(_checked(_PACKAGE, package, "a package") for package in packages)})
    if mirror:
        _checked(_MIRROR, mirror, "a mirror")
    recipe = _digest([_RECIPE, name, suite, wanted, mirror, runtime.source_digest(), runtime.EPOCH, *_base_files()])
    with _turn(settings, name):
        there = image_list(settings, name)
        if there and there[-1].recipe == recipe and not again:
            return there[-1]
        if os.geteuid() != 0:
            raise CorpusError("An image is built by root: run this as root.")
        half = settings.images / f".half-{name}"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        try:
            return _build(
                settings,
                half,
                Image(name, "", "", "", 0, suite, platform.machine(), "", recipe, "", {}, {}, settings.images),
                wanted,
                mirror,
                again,
                say,
            )
        finally:
            shutil.rmtree(half, ignore_errors=True)


def plan(settings: Settings, name: str = "debian") -> list[str]:
    """Return the names of a family's images that are older than its newest."""
    return [image.full_name for image in image_list(settings, name)[:-1]]


def remove(settings: Settings, name: str, version: str) -> bool:
    """Remove an image from this machine; return whether it was there."""
    full = f"{_checked(_NAME, name, 'an image')}-{_checked(_VERSION, version, 'a version')}"
    with _turn(settings, name):
        there = (settings.images / f"{full}.json").exists()
        for ending in (".json", ".tar.zst", ".runtime.json", ".runtime.tar.zst"):  # untold first
            (settings.images / f"{full}{ending}").unlink(missing_ok=True)
    return there


def prune(settings: Settings, name: str, keep: int = 2, used: Collection[str] = (), test: bool = False) -> list[str]:
    """Remove a family's old images.

    :param keep: how many of the newest stay
    :param used: versions that stay because something is made of them
    :param test: only tell
    :returns: the names of those that went
    """
    if keep < 1:
        raise UsageError("keep is the number of images that stay: at least 1.")
    old = [image for image in image_list(settings, name)[:-keep] if image.version not in used]
    for image in old if not test else []:
        remove(settings, image.name, image.version)
    return [image.full_name for image in old]


def send(image: Image, target: access.Target, folder: str = INBOX, test: bool = False) -> tuple[str, bool]:
    """Bring an image's archive to a node (rsync over ssh), and compare its digest there.

    :param folder: absolute path on the node
    :param test: only tell
    :returns: absolute path of the archive on the node, and whether it had to be sent
    :raises CorpusError: the node was not reached, or has something else than what was sent
    """
    if not re.fullmatch(r"(?:/[A-Za-z0-9._-]+)+", folder) or ".." in folder.split("/"):
        raise UsageError(f"{shown(folder)} is not an absolute path.")
    path = f"{folder}/{image.archive.name}"
    if _digest_there(target, path) == image.digest:
        return path, False
    if test:
        return path, True
    target.run("mkdir", "-p", "-m", "0700", "--", folder)
    machine = f"[{target.host}]" if ":" in target.host else target.host
    sudo = [] if target.user == "root" else ["--rsync-path=sudo -n rsync"]
    words = ["--partial", "--chmod=F0600", "--timeout=60", *sudo, f"--rsh={target.rsh}"]
    processes.run(["rsync", *words, "--", image.archive, f"{machine}:{path}"], timeout=3600)
    found = _digest_there(target, path)
    if found != image.digest:
        target.run("rm", "-f", "--", path)
        raise CorpusError(f"{image.full_name} arrived damaged at {target} (its digest is {found}): send it again.")
    return path, True


def _digest_there(target: access.Target, path: str) -> str | None:
    """The digest of a file on a node; None: there is no such file."""
    asked = target.run("sh", "-c", 'if test -f "$1"; then sha256sum -- "$1"; fi', "sh", path, timeout=600)
    return f"sha256:{asked.output.split()[0]}" if asked.output.strip() else None


def _build(
    settings: Settings,
    half: Path,
    wish: Image,
    packages: Sequence[str],
    mirror: str,
    again: bool,
    say: Callable[[str], None],
) -> Image:
    base = _base_root(settings, wish, packages, mirror, again, say)
    root = half / "root"
    processes.run(["cp", "--archive", "--reflink=auto", base, root], timeout=1800)
    python_packages = runtime.install_pack(root, say)
    debian_packages = dict(_debian_packages(root))
    made = replace(
        wish,
        version=_digest([wish.recipe, debian_packages, python_packages])[:12],
        python=runtime.python_of(root),
        packages=debian_packages,
        python_packages=python_packages,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
    _furnish(root, made)
    say(f"{made.full_name} is packed")
    packed = runtime.pack(root, half / made.archive.name, ".", exclude=tuple(f"./{path}" for path in _NOT_KEPT))
    made = replace(made, digest=f"sha256:{packed.digest}", content=f"sha256:{packed.content}", size=packed.size)
    _pack_runtime(root, half, made)
    for there in image_list(settings, made.name):
        if there.version == made.version:
            if there.digest == made.digest:
                return _adopt(half, replace(there, recipe=made.recipe), ())
            say(f"{made.full_name} is not the same as before, though of the same packages")
    return _adopt(half, made, (made.archive, made.runtime, made.runtime.with_name(f"{made.full_name}.runtime.json")))


def _base_root(
    settings: Settings, wish: Image, packages: Sequence[str], mirror: str, again: bool, say: Callable[[str], None]
) -> Path:
    """Return the root file system without this pack: made once, for most images differ by the pack alone."""
    kept = settings.images / f".base-{wish.name}"
    recipe = _digest([_RECIPE, wish.suite, packages, mirror, runtime.requirements()])
    mark = kept / "recipe"
    if not again and mark.is_file() and mark.read_text() == recipe:
        return kept / "root"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(mode=0o700)
    root = kept / "root"
    say(f"Debian {wish.suite}")
    words: list[str | Path] = ["--variant=minbase", "--mode=root", "--quiet", f"--include={','.join(packages)}"]
    processes.run(
        ["mmdebstrap", *words, wish.suite, root, *([mirror] if mirror else [])],
        env={"SOURCE_DATE_EPOCH": str(runtime.EPOCH)},
        timeout=1800,
    )
    runtime.install(root, say)
    files.write(mark, recipe)
    return root


def _adopt(half: Path, image: Image, archives: Sequence[Path]) -> Image:
    """Let what was made apart appear; what is told of it comes last."""
    for path in archives:
        os.replace(half / path.name, path)
    files.flush_folder(image.folder)
    told = {key: value for key, value in asdict(image).items() if key != "folder"}
    files.write_json(image.manifest, told, 0o644)
    return image


def _furnish(root: Path, image: Image) -> None:
    """Put in what every guest has, and take out what the building machine left."""
    for source, path, mode in _base():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(mode)
    for unit in ("salt-minion.service", "corpus-first-boot.service"):
        processes.run(["systemctl", f"--root={root}", "enable", "--quiet", unit])
    # Projects run an nginx of their own at the same port.
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "nginx.service"):
        processes.run(["systemctl", f"--root={root}", "disable", "--quiet", unit], check=False)
    (root / "etc/salt/minion.d").mkdir(parents=True, exist_ok=True)
    (root / "srv/salt").mkdir(parents=True, exist_ok=True)
    (root / "srv/pillar").mkdir(parents=True, exist_ok=True)
    texts = {
        "etc/hostname": "localhost\n",
        "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
        # Empty, and not "uninitialized": systemd would take its presets for what is enabled here.
        "etc/machine-id": "",
        "etc/resolv.conf": "",
    }
    for path, text in texts.items():
        (root / path).unlink(missing_ok=True)
        (root / path).write_text(text)
    for log in (root / "var/log").rglob("*"):
        if log.is_file():
            log.unlink()  # its folder stays, for programs do not start without
    (root / "etc/corpus").mkdir(exist_ok=True)
    told = {"name": image.name, "version": image.version, "suite": image.suite}
    (root / TOLD_AT.lstrip("/")).write_text(json.dumps(told, indent=1) + "\n")


def _pack_runtime(root: Path, half: Path, image: Image) -> None:
    """Make the archive for machines that exist: what they get is what a guest has."""
    home = runtime.HOME.lstrip("/")
    (root / home / ".runtime").write_text(f"{image.version}\n")
    programs = [f"usr/local/bin/{path.name}" for path in sorted((root / "usr/local/bin").iterdir())]
    unit = "etc/systemd/system/salt-minion.service"
    packed = runtime.pack(root, half / image.runtime.name, home, unit, *programs)
    files.write_json(
        half / f"{image.full_name}.runtime.json",
        {
            "version": image.version,
            "python": image.python,
            "machine": image.machine,
            "digest": f"sha256:{packed.digest}",
            "size": packed.size,
        },
        0o644,
    )


def _base() -> Iterator[tuple[Path, str, int]]:
    """The files of the state ``corpus.guest``: where they are, where they go, and their modes."""
    folder = tree.folder() / "corpus/guest/files"
    for source in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = str(source.relative_to(folder))
        yield source, path, 0o755 if path.startswith("usr/local/lib/") else 0o644


def _base_files() -> list[list[str]]:
    return [[path, hashlib.sha256(source.read_bytes()).hexdigest()] for source, path, _mode in _base()]


def _debian_packages(root: Path) -> Iterator[tuple[str, str]]:
    shown_as = "${binary:Package}\t${Version}\n"
    asked = processes.run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", f"--showformat={shown_as}"])
    for line in asked.output.splitlines():
        name, _, version = line.partition("\t")
        yield name, version


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _read(told: dict[str, Any], folder: Path) -> Image:
    known = {field.name for field in fields(Image)} - {"folder"}
    try:
        return Image(**{key: value for key, value in told.items() if key in known}, folder=folder)
    except TypeError as err:
        raise CorpusError(f"What is told of an image in {folder} is not whole: build it again ({err}).") from err


def _checked(pattern: re.Pattern[str], value: object, what: str) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise UsageError(f"{shown(value)} cannot name {what}.")


@contextmanager
def _turn(settings: Settings, name: str) -> Iterator[None]:
    """One builder of a family at a time; who comes second waits, and finds it built."""
    settings.images.mkdir(parents=True, exist_ok=True, mode=0o755)
    path = settings.images / f".{name}.lock"
    with locks.held(path, {}, lambda other: f"Image {name} is being built by process {other.get('pid')}.", wait=1800):
        yield
