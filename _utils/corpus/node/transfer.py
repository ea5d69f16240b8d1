"""A container on its way to another node: rsync over ssh, with a key that the caller made for this one time.

Two rounds: :func:`send` copies while the container runs, then ``final`` copies what changed since, when it is stopped.
On the other node everything lies in ``half`` until :func:`receive` lets the container appear there. Here nothing is
ever changed.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from corpus import files, processes
from corpus.errors import CorpusError, UsageError
from corpus.identifiers import shown
from corpus.node import containers, names
from corpus.node.containers import CHANGEABLE, Container, Specification
from corpus.node.storage import Overlay, Pool

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?|::[A-Fa-f0-9:.]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_PLAIN = re.compile(r"/[A-Za-z0-9_./@+~-]+")
_SENT = "sent.json"

# Runs on the other node: a place to copy into. The same image, when it is there, has most of it already.
_PREPARE = """
set -eu
pool=$1 name=$2 image=$3
test -f "$pool/pool.json" || { echo "There is no pool at $pool on that node." >&2; exit 3; }
test ! -e "$pool/containers/$name" || { echo "There is a container $name on that node." >&2; exit 3; }
umask 022
cd "$pool/half"
test ! -e "$name.incoming/ready" || exit 0
test ! -d "$name.incoming/rootfs" || btrfs subvolume delete "$name.incoming/rootfs" >/dev/null 2>&1 || true
rm -rf "$name.incoming"
mkdir "$name.incoming"
chmod 711 "$name.incoming"
if grep -q '"btrfs"' ../pool.json; then
    if test -n "$image" && test -d "../images/$image"; then
        btrfs subvolume snapshot "../images/$image" "$name.incoming/rootfs" >/dev/null
    else
        btrfs subvolume create "$name.incoming/rootfs" >/dev/null
    fi
else
    mkdir "$name.incoming/rootfs"
fi
: >"$name.incoming/ready"
"""
_TELL = 'set -eu; umask 077; cat >"$1.part"; mv "$1.part" "$1"; sync -f "$1"'
# A tree, or an overlay's layers as one, mounted so that no link in it is followed, whoever is at work in it meanwhile.
# In a mount namespace of its own: whatever ends it, nothing stays mounted.
_BOUND = 'mount --bind "$1" "$2" && mount -o remount,bind,ro,nosuid,nodev,nosymfollow "$2" && shift 2 && exec "$@"'
_LAYERED = 'mount -t overlay overlay -o "ro,nosuid,nodev,nosymfollow,lowerdir=$1" "$2" && shift 2 && exec "$@"'


def send(
    pool: Pool,
    name: str,
    host: str,
    port: int,
    identity: str,
    final: bool = False,
    known_hosts: str | None = None,
    user: str = "root",
    path: str | None = None,
) -> dict[str, Any]:
    """Copy a container to another node; the second time only what changed.

    :param identity: absolute path of a private key that the other node's root lets in
    :param final: the last round; the container must be stopped
    :param known_hosts: absolute path of a file with the other node's host keys; root's own otherwise
    :param path: the other node's pool; the same as here otherwise
    :returns: ``{seconds, bytes}`` of this round
    :raises CorpusError: it runs and ``final``, or the other node cannot be reached or has no room
    """
    ssh = _ssh(port, identity, known_hosts)
    if not _HOST.fullmatch(str(host)) or not _USER.fullmatch(str(user)):
        raise UsageError(f"{shown(f'{user}@{host}')} is no user and host.")
    place = _plain(path or str(pool.path))
    container = Container(pool, name)
    began = time.monotonic()
    with pool.turn(name):
        wish = container.specification()
        state = container.state()
        if final and state != "STOPPED":
            raise CorpusError(f"{name} is {state.lower()}: stop it before the last round.")
        login = [*ssh, f"{user}@{host}"]
        _there(login, _PREPARE, place, name, wish.image or "")
        target = f"{user}@{f'[{host}]' if ':' in host else host}:{place}/half/{name}.incoming/rootfs/"
        bytes_sent = _copy(pool, container, wish, ssh, target)
        if final:
            text = files.json_text(asdict(replace(wish, running=False)))
            _there(login, _TELL, f"{place}/half/{name}.incoming/{_SENT}", stdin=text)
    return {"seconds": round(time.monotonic() - began, 2), "bytes": bytes_sent}


def _ssh(port: int, identity: str, known_hosts: str | None) -> list[str]:
    """The words of ssh up to the options; none has a space, for rsync splits them."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise UsageError(f"{shown(port)} is no port.")
    if not Path(_plain(identity)).is_file():
        raise UsageError(f"There is no private key {identity}.")
    options = ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=15"]
    options += ["ServerAliveInterval=15", "ServerAliveCountMax=4"]
    if known_hosts is not None:
        options.append(f"UserKnownHostsFile={_plain(known_hosts)}")
    given = [word for option in options for word in ("-o", option)]
    return [processes.which("ssh"), "-F", "none", "-p", str(port), "-i", identity, *given]


def _plain(path: str) -> str:
    if isinstance(path, str) and _PLAIN.fullmatch(path) and ".." not in path.split("/"):
        return path
    raise UsageError(f"{shown(path)} cannot be used here: give an absolute path of letters, digits and _ . / @ + ~ -.")


def _there(login: Sequence[str], script: str, *words: str, stdin: str = "") -> None:
    """Run one of our own scripts on the other node."""
    command = shlex.join(["sh", "-c", script, "sh", *words])
    done = processes.run([*login, command], stdin=stdin, timeout=300, check=False)
    if done.status:
        raise CorpusError(f"The other node refused: {done.last_words}")


def beheld(layers: Sequence[Path], at: Path) -> list[str]:
    """Return the words before a program that shall see a tree at a folder, read-only; no link in it leads out of it.

    :param layers: absolute paths, the uppermost first
    :param at: absolute, empty; nobody else sees anything there
    """
    script = _LAYERED if len(layers) > 1 else _BOUND
    return ["unshare", "--mount", "sh", "-c", script, "sh", ":".join(map(str, layers)), str(at)]


def _copy(pool: Pool, container: Container, wish: Specification, ssh: Sequence[str], target: str) -> int:
    """Copy the root file system; return the bytes that went over the wire."""
    layers = pool.driver.layers(container.home, container.image(wish))
    view, kept = pool.fresh(f"{container.name}.view"), None
    words = ["rsync", "-aHAX", "--numeric-ids", "--delete", "--inplace", "--stats", "-e", " ".join(ssh)]
    try:
        if pool.driver.instant and container.state() != "STOPPED":
            kept = pool.fresh(f"{container.name}.kept")
            pool.driver.keep(container.home, kept)
            layers = pool.driver.layers(kept, None)
        done = processes.run([*beheld(layers, view), *words, f"{view}/", target], check=False)
    finally:
        pool.discard(view)
        if kept is not None:
            pool.discard(kept)
    if done.status not in (0, 24):  # 24: files vanished while they were read
        told = [line for line in done.errors.splitlines() if "No space left" in line or "quota" in line]
        raise CorpusError(f"Copying {container.name} failed: {told[0] if told else done.last_words}")
    sent = re.search(r"Total bytes sent: ([0-9,.]+)", done.output)
    return int(re.sub(r"\D", "", sent[1])) if sent else 0


def receive(pool: Pool, name: str, **settings: Any) -> list[str]:
    """Let a container that was sent here appear, stopped.

    :param settings: of :data:`corpus.node.containers.CHANGEABLE`: what is different here, as its addresses
    :returns: what was done; empty when it is here already
    :raises UsageError: it was not sent, or not to its end
    :raises CorpusError: it is unprivileged, and there can be no such container here
    """
    unknown = sorted(set(settings) - set(CHANGEABLE))
    if unknown:
        raise UsageError(f"{', '.join(unknown)} of a container cannot be changed: {', '.join(CHANGEABLE)} can.")
    container = Container(pool, name)
    incoming = pool.half / f"{names.container(name)}.incoming"
    with pool.turn(name):
        if not container.exists:
            sent = files.read_json(incoming / _SENT) or files.read_json(incoming / "corpus.json")
            if sent is None:
                raise UsageError(f"No container {name} was sent here, or not to its end: send it with final=True.")
            wish = replace(Specification(**sent), running=False, **settings)
            if wish.unprivileged:
                pool.admit()
            if isinstance(pool.driver, Overlay):
                wish = replace(wish, image=None)  # it came whole, and lies over nothing
            if wish.size is not None and pool.driver.quota:
                pool.driver.limit(incoming, wish.size)
            (incoming / "ready").unlink(missing_ok=True)
            containers.complete(container, incoming, wish)
            (container.home / _SENT).unlink(missing_ok=True)
            return [f"{name} received"]
    changes = containers.configure(pool, name, **settings)
    return [f"{key} of {name}: {change['new']}" for key, change in changes.items()]
