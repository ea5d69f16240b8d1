"""Containers of a compute node: made from an image, started, stopped, changed, destroyed. LXC does the work.

What a container shall be stands in ``corpus.json`` in its folder; LXC's own ``config`` is written anew from it before
every start, so that it fits the kernel that runs. Whatever is asked for twice is done once, and a call that was
killed is completed by the next one that says the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from corpus import files, processes
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown
from corpus.node import ids, names
from corpus.node.storage import Pool
from corpus.node.traffic import ports

#: Bytes that a container may store when nothing else is said
SIZE = 5 << 30

_SHARED = Path("/usr/share/lxc/config")
_SPECIFICATION = "corpus.json"
_PATH = "/opt/corpus/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Specification:
    """What a container shall be."""

    name: str
    """A DNS label; the host name inside"""
    image: str | None
    """``<name>-<version>`` of the image it was made from; None: it came from another node, whole"""
    address: str | None = None
    """IPv4 address with prefix length"""
    gateway: str | None = None
    bridge: str | None = "corpus0"
    """The host's bridge; None: it has no network"""
    address6: str | None = None
    gateway6: str | None = None
    size: int | None = SIZE
    """The most bytes that it may store, its image included; None: no limit"""
    memory: int | None = None
    """Bytes"""
    cpus: float | None = None
    """Processors' time that it may use, 1.5 being one and a half"""
    unprivileged: bool = False
    """Whether its root is nobody on the host"""
    nesting: bool = False
    """Whether it may have containers of its own"""
    running: bool = False
    """Whether it shall run, also after the machine started again"""

    def __post_init__(self) -> None:
        names.container(self.name)
        if self.bridge is not None:
            names.interface(self.bridge)
        for key, value, check in (
            ("address", self.address, names.address),
            ("gateway", self.gateway, names.gateway),
            ("address6", self.address6, names.address),
            ("gateway6", self.gateway6, names.gateway),
        ):
            if value is not None:
                object.__setattr__(self, key, check(value, 6 if key.endswith("6") else 4))
        for key, least in (("size", 1 << 20), ("memory", 4 << 20)):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise UsageError(f"{shown(value)} is no {key} for a container: give whole bytes, {least} at least.")
        if self.cpus is not None and not (
            isinstance(self.cpus, (int, float)) and not isinstance(self.cpus, bool) and 0.01 <= self.cpus <= 10000
        ):
            raise UsageError(f"{shown(self.cpus)} is no number of processors for a container: 0.5 or 2, for example.")
        for key in ("unprivileged", "nesting", "running"):
            if not isinstance(getattr(self, key), bool):
                raise UsageError(f"{key} of a container is true or false, not {shown(getattr(self, key))}.")


#: What may be changed while a container exists
CHANGEABLE = ("address", "gateway", "bridge", "address6", "gateway6", "size", "memory", "cpus", "nesting")


@dataclass(frozen=True)
class Container:
    """A container in a pool, whether it is there or not."""

    pool: Pool
    name: str

    def __post_init__(self) -> None:
        names.container(self.name)

    @property
    def home(self) -> Path:
        return self.pool.containers / self.name

    @property
    def exists(self) -> bool:
        return (self.home / _SPECIFICATION).is_file()

    def specification(self) -> Specification:
        """Return what it shall be.

        :raises UsageError: it is not there
        """
        saved = files.read_json(self.home / _SPECIFICATION)
        if saved is None:
            raise UsageError(f"There is no container {self.name} here.")
        known = {field.name for field in fields(Specification)}
        return Specification(**{key: value for key, value in saved.items() if key in known})

    def image(self, wish: Specification) -> Path | None:
        return self.pool.images / wish.image if wish.image else None

    def state(self) -> str:
        """Return LXC's word: ``RUNNING``, ``STOPPED``, ``FROZEN`` …; ``ABSENT`` where there is none."""
        if not self.exists:
            return "ABSENT"
        done = self._lxc("lxc-info", "-s", "-H", check=False)
        return done.output.strip() or "STOPPED"

    def _lxc(self, program: str, *words: str, check: bool = True, timeout: float | None = None) -> processes.Result:
        argv = [program, "-P", str(self.pool.containers), "-n", self.name, *words]
        return processes.run(argv, check=check, timeout=timeout)


def create(
    pool: Pool,
    name: str,
    image: str,
    written: Mapping[str, str] | None = None,
    test: bool = False,
    **settings: Any,
) -> list[str]:
    """Make a container, stopped.

    :param image: ``<name>-<version>``, or a name alone for its newest version
    :param written: texts by absolute path, written into its root file system (0600, root's)
    :param settings: fields of :class:`Specification`
    :param test: change nothing
    :returns: what was done, in one phrase each; empty when it was there already
    :raises UsageError: it is there, and is something else; or a setting cannot be
    """
    container = Container(pool, name)
    wish = Specification(name, pool.image(image).name, **settings)
    for path in written or {}:
        _checked(path)
    if wish.unprivileged:
        ids.idmap()
        if not test or not pool.driver.shifts:
            pool.admit()
    with pool.turn(name):
        if container.exists:
            if not test:
                pool.discard(pool.half / name)
            _compare(container.specification(), wish, image)
            return []
        if test:
            return [f"container {name} from {wish.image}"]
        pool.discard(container.home)  # what is there without a specification is nobody's
        half = pool.fresh(name)
        pool.driver.make(half, container.image(wish))
        if wish.size is not None and pool.driver.quota:
            _check_room(pool, half, name, wish.size)
            pool.driver.limit(half, wish.size)
        root = Root(pool.driver.layers(half, container.image(wish)))
        root.write("/etc/hostname", f"{name}\n", 0o644)
        root.write("/etc/hosts", f"127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback\n", 0o644)
        root.write("/etc/machine-id", "", 0o444)
        for path, text in (written or {}).items():
            root.write(path, text, 0o600)
        complete(container, half, wish)
        return [f"container {name} from {wish.image}"]


def complete(container: Container, half: Path, wish: Specification) -> None:
    """Let a home that was made apart appear as the container."""
    files.write(half / "config", configuration(container, wish))
    files.write_json(half / _SPECIFICATION, asdict(wish))
    os.rename(half, container.home)
    files.flush_folder(container.pool.containers)


def _compare(there: Specification, wish: Specification, image: str) -> None:
    """:raises UsageError: what is there is not what is wanted"""
    wanted = replace(wish, running=there.running)
    if there.image is not None and there.image.startswith(f"{image}-"):
        wanted = replace(wanted, image=there.image)  # no version was asked for
    wrong = [field.name for field in fields(there) if getattr(there, field.name) != getattr(wanted, field.name)]
    if wrong:
        told = ", ".join(f"{key} {getattr(there, key)}, not {getattr(wanted, key)}" for key in wrong)
        raise UsageError(
            f"There is a container {there.name} already, with {told}: change it with mc_lxc.configure, or destroy it."
        )


def _check_room(pool: Pool, home: Path, name: str, size: int) -> None:
    """:raises UsageError: the image alone is larger"""
    used = pool.driver.used(home)
    if used >= size:
        raise UsageError(f"{name} cannot be limited to {size} bytes: its image alone has {used}.")


class Root:
    """A root file system that does not run, in layers: the first is written to, the others lie under it.

    :param layers: absolute paths
    """

    def __init__(self, layers: Sequence[Path]) -> None:
        self._layers = layers

    def write(self, path: str, text: str, mode: int) -> None:
        """Write a file; no link in the root file system leads out of it.

        :param path: absolute, as the container names it
        :param mode: permission bits
        """
        target = self._followed(_checked(path))
        folder = self._layers[0]
        for position, part in enumerate(target[:-1]):
            folder /= part
            if not folder.is_dir():
                below = self._found(target[: position + 1])
                folder.mkdir(mode=0o755)
                if below is not None:
                    status = below.stat()
                    os.chown(folder, status.st_uid, status.st_gid)
                    folder.chmod(stat.S_IMODE(status.st_mode))
                else:
                    folder.chmod(0o755)
        files.write(folder / target[-1], text, mode)

    def read(self, path: str) -> str | None:
        """Return what is in a file; None when it is not there."""
        found = self._found(self._followed(_checked(path)))
        return found.read_text(encoding="utf-8") if found and found.is_file() and not found.is_symlink() else None

    def _followed(self, path: str) -> list[str]:
        """Return the parts of a path with every link on the way resolved inside of the root."""
        done: list[str] = []
        left = [part for part in reversed(path.split("/")) if part]
        for _ in range(255):
            if not left:
                return done
            part = left.pop()
            if part == ".":
                continue
            if part == "..":
                done = done[:-1]
                continue
            found = self._found([*done, part])
            if found is None or not found.is_symlink() or not left:
                done.append(part)  # the last part is replaced, whatever it is
                continue
            link = os.readlink(found)
            done = [] if link.startswith("/") else done
            left += [inner for inner in reversed(link.split("/")) if inner]
        raise CorpusError(f"{path} has too many links on its way.")

    def _found(self, parts: Sequence[str]) -> Path | None:
        """Return what a path without links is, in the uppermost layer that has it."""
        for layer in self._layers:
            found = layer.joinpath(*parts)
            if os.path.lexists(found):
                return found
        return None


def minion_key(pool: Pool, name: str) -> str:
    """Return the public key of the minion in a stopped container; its key pair is made there when there is none.

    The private half is never anywhere else.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    container = Container(pool, name)
    folder = "/etc/salt/pki/minion"
    with pool.turn(name):
        wish = container.specification()
        root = Root(pool.driver.layers(container.home, container.image(wish)))
        there = root.read(f"{folder}/minion.pub")
        if there and root.read(f"{folder}/minion.pem"):
            return there
        if container.state() != "STOPPED":
            raise CorpusError(f"{name} runs: a key is made for a container that is stopped.")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()
        public = (
            key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        root.write(f"{folder}/minion.pem", private, 0o400)
        root.write(f"{folder}/minion.pub", public, 0o644)
        return public


def _checked(path: object) -> str:
    sane = isinstance(path, str) and path.startswith("/") and not path.endswith("/") and "\0" not in path
    if sane and ".." not in str(path).split("/"):
        return str(path)
    raise UsageError(f"{shown(path)} is no absolute path of a file.")


def configuration(container: Container, wish: Specification) -> str:
    """Return LXC's configuration of a container for this machine as it is now."""
    home, driver = container.home, container.pool.driver
    monitor, payload = _groups(container)
    rows: list[tuple[str, object]] = [("lxc.include", _SHARED / "common.conf")]
    if wish.nesting:
        rows.append(("lxc.include", _SHARED / "nesting.conf"))
    if wish.unprivileged:
        rows.append(("lxc.include", _SHARED / "userns.conf"))
        users, groups = ids.idmap()
        rows += [("lxc.idmap", f"u 0 {users} {ids.COUNT}"), ("lxc.idmap", f"g 0 {groups} {ids.COUNT}")]
        # LXC leaves these to it, and then systemd tries what the kernel refuses: debugfs, the clock.
        rows.append(("lxc.cap.drop", "mac_admin mac_override sys_time sys_module sys_rawio"))
        rows.append(("lxc.rootfs.options", "idmap=container"))  # on disk everything stays root's: clones stay cheap
    rows += [
        ("lxc.arch", os.uname().machine),
        ("lxc.uts.name", wish.name),
        ("lxc.rootfs.path", driver.rootfs(home, container.image(wish))),
        ("lxc.start.auto", int(wish.running)),
        ("lxc.mount.auto", ""),
        ("lxc.mount.auto", "proc:mixed sys:mixed cgroup:rw:force"),
        # Limits are on the outer one, the container sees the inner one alone: its root cannot lift them.
        ("lxc.cgroup.dir.monitor", monitor),
        ("lxc.cgroup.dir.container", payload),
        ("lxc.cgroup.dir.container.inner", "inner"),
    ]
    rows += _confinement()
    rows += _limits(wish)
    rows += _network(wish, ports.named(container.pool.path, container.name))
    return "".join(f"{key} = {value}\n".replace(" = \n", " =\n") for key, value in rows)


def _groups(container: Container) -> tuple[str, str]:
    """The control groups of the process that watches a container, and of the container; of no other pool's, either."""
    unique = f"{container.name}-{hashlib.sha256(str(container.pool.path).encode()).hexdigest()[:8]}"
    return f"lxc.monitor.{unique}", f"lxc.payload.{unique}"


def _clear_groups(container: Container) -> None:
    """End what is left of a container whose monitor was killed, and remove its control groups: LXC takes new ones only."""
    for name in _groups(container):
        for group in _found_groups(name):
            _clear_group(group)


def _clear_port(container: Container) -> None:
    """Remove the port of a container that does not run any more: it has the same name at every start."""
    name = ports.named(container.pool.path, container.name)
    if Path("/sys/class/net", name).exists():
        processes.run(["ip", "link", "delete", "dev", name], check=False)


def _found_groups(name: str) -> list[Path]:
    """Return where a control group is, in each hierarchy: below that of the machine's first process, as LXC does it."""
    base = Path("/sys/fs/cgroup")
    init = Path("/proc/1/cgroup").read_text().splitlines()
    places = {line.split(":", 2)[2].removesuffix("/init.scope").strip("/") for line in init} | {""}
    hierarchies = [base, *(path for path in base.iterdir() if path.is_dir() and not path.is_symlink())]
    found = [hierarchy / place / name for hierarchy in hierarchies for place in sorted(places)]
    return [group for group in found if group.is_dir()]


def _limit_now(container: Container, wish: Specification) -> None:
    """Let the limits hold for a container that runs. lxc-cgroup would set them on the inner group."""
    for key, value in _limits(wish, lift=True):
        name = key.partition("cgroup")[2].partition(".")[2]
        for group in _found_groups(_groups(container)[1]):
            if (group / name).exists():
                try:
                    (group / name).write_text(str(value))
                except OSError as err:
                    raise CorpusError(f"{name} of {container.name} cannot be {value} now: {err.strerror}.") from err


def _clear_group(group: Path) -> None:
    if not group.is_dir():
        return
    folders = [Path(place) for place, _, _ in os.walk(group, topdown=False)]
    for _ in range(500):
        left = {int(pid) for folder in folders if folder.is_dir() for pid in _processes_in(folder)}
        if not left:
            break
        for pid in left - {0, os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def _processes_in(group: Path) -> list[str]:
    try:
        return (group / "cgroup.procs").read_text().split()
    except OSError:  # it went, or cannot have any
        return []


def _confinement() -> list[tuple[str, object]]:
    """AppArmor, where the machine has it and is none of LXC's containers itself."""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    here = enabled.is_file() and enabled.read_text().startswith("Y")
    if here and not Path("/dev/.lxc").exists() and b"container=" not in Path("/proc/1/environ").read_bytes():
        return [("lxc.apparmor.profile", "generated"), ("lxc.apparmor.allow_nesting", 1)]  # systemd needs the latter
    return [("lxc.apparmor.profile", "unconfined")]


def _limits(wish: Specification, lift: bool = False) -> list[tuple[str, object]]:
    """Memory and processors, in the words of the control groups that the machine has.

    :param lift: also those that are none
    """
    two = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    rows: list[tuple[str, object]] = []
    if wish.memory is not None or lift:
        none: object = "max" if two else -1
        key = "lxc.cgroup2.memory.max" if two else "lxc.cgroup.memory.limit_in_bytes"
        rows.append((key, none if wish.memory is None else wish.memory))
    if wish.cpus is not None or lift:
        quota = None if wish.cpus is None else round(wish.cpus * 100_000)
        if two:
            rows.append(("lxc.cgroup2.cpu.max", f"{'max' if quota is None else quota} 100000"))
        else:
            rows.append(("lxc.cgroup.cpu.cfs_period_us", 100_000))
            rows.append(("lxc.cgroup.cpu.cfs_quota_us", -1 if quota is None else quota))
    return rows


def _network(wish: Specification, port: str) -> list[tuple[str, object]]:
    if wish.bridge is None:
        return [("lxc.net.0.type", "empty")]
    digits = hashlib.sha256(wish.name.encode()).hexdigest()
    rows: list[tuple[str, object]] = [
        ("type", "veth"),
        ("link", wish.bridge),
        ("veth.pair", port),  # by it the traffic of the node knows who sends
        ("flags", "up"),
        ("hwaddr", ":".join(["02", *(digits[at : at + 2] for at in range(0, 10, 2))])),
    ]
    for key, value in (
        ("ipv4.address", wish.address),
        ("ipv4.gateway", wish.gateway),
        ("ipv6.address", wish.address6),
        ("ipv6.gateway", wish.gateway6),
    ):
        if value is not None:
            rows.append((key, value))
    return [(f"lxc.net.0.{key}", value) for key, value in rows]


def start(pool: Pool, name: str) -> list[str]:
    """Start a container, and let it start with the machine.

    :returns: what was done; empty when it ran already
    :raises CorpusError: it does not start; the message has LXC's reason
    """
    container = Container(pool, name)
    with pool.turn(name):
        return begin(container)


def begin(container: Container) -> list[str]:
    """Start a container; the caller has its turn."""
    wish = replace(container.specification(), running=True)
    _save(container, wish)
    state = container.state()
    if state == "FROZEN":  # whoever froze it was killed
        thaw(container)
        return [f"{container.name} thawed"]
    if state == "RUNNING":
        return []
    if state != "STOPPED":  # on its way to one of the two, or stuck
        container._lxc("lxc-stop", "--kill", check=False, timeout=30)
    if wish.bridge is not None and not Path("/sys/class/net", wish.bridge).exists():
        raise CorpusError(f"{container.name} cannot start: this machine has no bridge {wish.bridge}.")
    if wish.unprivileged:
        container.pool.admit()
    _clear_groups(container)
    _clear_port(container)
    log = container.home / "log"
    log.unlink(missing_ok=True)
    done = container._lxc("lxc-start", "-d", "-o", str(log), "-l", "ERROR", check=False, timeout=60)
    if done.status or container.state() != "RUNNING":
        raise CorpusError(f"{container.name} does not start: {_reason(log, done)}")
    return [f"{container.name} started"]


def _reason(log: Path, done: processes.Result) -> str:
    """Return the first error in LXC's log: the others only follow from it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [line.rpartition(" - ")[2] for line in lines if " ERROR " in line]
    return (errors or [done.last_words])[0].strip()


def stop(pool: Pool, name: str, timeout: int = 30) -> list[str]:
    """Stop a container, and let it not start with the machine.

    :param timeout: seconds that it has to end by itself
    :returns: what was done; empty when it did not run
    """
    container = Container(pool, name)
    with pool.turn(name):
        _save(container, replace(container.specification(), running=False))
        return end(container, timeout)


def end(container: Container, timeout: int = 30) -> list[str]:
    """Stop a container, whatever it shall be; the caller has its turn."""
    state = container.state()
    if state in ("STOPPED", "ABSENT"):
        return []
    if state == "FROZEN":
        container._lxc("lxc-unfreeze", check=False)
    words = ["-t", str(int(timeout))] if timeout > 0 and state in ("RUNNING", "FROZEN") else ["--kill"]
    container._lxc("lxc-stop", *words, check=False, timeout=timeout + 30)
    if container.state() != "STOPPED":
        container._lxc("lxc-stop", "--kill", timeout=30)
    return [f"{container.name} stopped"]


def freeze(container: Container) -> None:
    """Let everything in a container stand still."""
    container._lxc("lxc-freeze", timeout=60)


def thaw(container: Container) -> None:
    """Let it go on."""
    container._lxc("lxc-unfreeze", timeout=60)


def restart(pool: Pool, name: str, timeout: int = 30) -> list[str]:
    """Stop a container when it runs, and start it."""
    container = Container(pool, name)
    with pool.turn(name):
        _save(container, replace(container.specification(), running=True))
        return [*end(container, timeout), *begin(container)]


def destroy(pool: Pool, name: str) -> list[str]:
    """Stop a container at once and remove it with its snapshots, and what is left of a half-made one.

    :returns: what was done; empty when nothing of it was there
    """
    container = Container(pool, name)
    done = []
    with pool.turn(name):
        if container.exists:
            end(container, 0)
        if os.path.lexists(container.home):
            done.append(f"{name} removed")
            _clear_groups(container)
        pool.discard(container.home)
        if (pool.snapshots / name).is_dir():
            for snapshot in list((pool.snapshots / name).iterdir()):
                pool.discard(snapshot)
            (pool.snapshots / name).rmdir()
            done = done or [f"snapshots of {name} removed"]
        rests = [pool.half / name, *pool.half.glob(f"{name}.*")]
        for rest in rests:
            if os.path.lexists(rest):
                pool.discard(rest)
                done = done or [f"rest of {name} removed"]
    return done


def configure(pool: Pool, name: str, test: bool = False, **settings: Any) -> dict[str, Any]:
    """Change what a container shall be. Addresses and nesting count from its next start, the rest at once.

    :param settings: of :data:`CHANGEABLE`
    :returns: ``{setting: {old, new}}`` of those that changed
    :raises UsageError: a setting cannot be changed, or the size is below what is used
    """
    unknown = sorted(set(settings) - set(CHANGEABLE))
    if unknown:
        raise UsageError(f"{', '.join(unknown)} of a container cannot be changed: {', '.join(CHANGEABLE)} can.")
    container = Container(pool, name)
    with pool.turn(name):
        there = container.specification()
        wish = replace(there, **settings)
        changes = {
            key: {"old": getattr(there, key), "new": getattr(wish, key)}
            for key in settings
            if getattr(there, key) != getattr(wish, key)
        }
        if test or not (changes or "size" in settings):
            return changes
        if "size" in settings:
            _set_size(container, wish.size, changed="size" in changes)
        _save(container, wish)
        if {"memory", "cpus"} & set(changes) and container.state() in ("RUNNING", "FROZEN"):
            _limit_now(container, wish)
        return changes


def resize(pool: Pool, name: str, size: int, test: bool = False) -> dict[str, Any]:
    """Let a container store more or less.

    :param size: bytes, its image included
    :returns: ``{size: {old, new}}``; empty when it was that already
    :raises CorpusError: it holds more than that already, or the pool has no quotas
    """
    return configure(pool, name, test, size=size)


def _set_size(container: Container, size: int | None, changed: bool) -> None:
    """:raises CorpusError: it holds more than that already, or the pool has no quotas"""
    driver = container.pool.driver
    if size is None or not driver.quota:
        if changed:
            driver.limit(container.home, size or 1 << 62)
        return
    used = driver.used(container.home)
    if used > size:
        raise UsageError(f"{container.name} cannot be trimmed to {size} bytes: it holds {used}.")
    driver.limit(container.home, size)


def _save(container: Container, wish: Specification) -> None:
    files.write(container.home / "config", configuration(container, wish))
    files.write_json(container.home / _SPECIFICATION, asdict(wish))


def execute(pool: Pool, name: str, argv: str | Sequence[str], timeout: float | None = None) -> dict[str, Any]:
    """Run a program in a container that runs, as root.

    :param argv: its words; a text is split as a shell would, and no shell sees it
    :returns: ``{retcode, stdout, stderr}``
    """
    words = shlex.split(argv) if isinstance(argv, str) else [str(word) for word in argv]
    if not words:
        raise UsageError("Say what to execute.")
    container = Container(pool, name)
    container.specification()
    if container.state() != "RUNNING":
        raise CorpusError(f"{name} does not run: start it first.")
    done = container._lxc(
        "lxc-attach", "--clear-env", f"--set-var=PATH={_PATH}", "--", *words, check=False, timeout=timeout
    )
    return {"retcode": done.status, "stdout": done.output, "stderr": done.errors}


def listed(pool: Pool) -> dict[str, dict[str, Any]]:
    """Return every container: state, image, addresses and whether it shall run."""
    there = sorted(file.parent.name for file in pool.containers.glob(f"*/{_SPECIFICATION}"))
    if not there:
        return {}
    words = ["lxc-ls", "-P", str(pool.containers), "--fancy", "--fancy-format=NAME,STATE"]
    rows = [line.split() for line in processes.run(words).output.splitlines()]
    states = {row[0]: row[1] for row in rows if len(row) == 2}
    found = {}
    for name in there:
        saved = files.read_json(pool.containers / name / _SPECIFICATION)
        if saved is not None:  # else it went meanwhile
            found[name] = {
                "state": states.get(name, "STOPPED"),
                **{key: saved.get(key) for key in ("image", "address", "address6", "running")},
            }
    return found


def infos(pool: Pool, name: str) -> dict[str, Any]:
    """Return everything about a container: what it shall be, its state, and what it uses."""
    container = Container(pool, name)
    wish = container.specification()
    state = container.state()
    found: dict[str, Any] = {
        **asdict(wish),
        "state": state,
        "driver": pool.driver.name,
        "quota": pool.driver.quota,
        "used": pool.driver.used(container.home),
        "limit": pool.driver.limited(container.home),
        "rootfs": str(container.home / "rootfs"),
        "snapshots": sorted(path.name for path in (pool.snapshots / name).glob("*")),
    }
    if state == "RUNNING":
        pid = container._lxc("lxc-info", "-p", "-H", check=False).output.strip()
        found["pid"] = int(pid) if pid.isdigit() else None
        found["addresses"] = container._lxc("lxc-info", "-i", "-H", check=False).output.split()
        groups = _found_groups(_groups(container)[1])
        counters = [group / key for group in groups for key in ("memory.usage_in_bytes", "memory.current")]
        found["memory_used"] = next((int(file.read_text()) for file in counters if file.is_file()), None)
    return found
