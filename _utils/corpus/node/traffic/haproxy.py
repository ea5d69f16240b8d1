"""The haproxy of a node while it runs: started, spoken to, reloaded without losing a connection."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from corpus import processes
from corpus.errors import CorpusError
from corpus.node.traffic.places import Places

UNIT = "corpus-proxy.service"
#: entries of a map that are sent with one command; haproxy takes up to 16 KiB
_AT_ONCE = 40
_PATIENCE = 15.0


def check(text: str, places: Places) -> None:
    """Let haproxy say whether it understands a configuration; nothing changes.

    :raises CorpusError: it does not; the message has its words
    """
    trial = places.proxy.with_suffix(".trial")
    trial.write_text(text, encoding="utf-8")
    try:
        done = processes.run(["haproxy", "-c", "-q", "-f", trial], check=False)
    finally:
        trial.unlink()
    if done.status:
        complaint = next((line for line in done.errors.splitlines() if "[ALERT]" in line), done.last_words)
        raise CorpusError(f"haproxy refuses its configuration, and nothing was changed: {complaint.strip()}")


def check_port(port: int) -> None:
    """Try whether haproxy could listen on a port that it does not have yet.

    :raises CorpusError: another program listens there
    """
    for family, anywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - as haproxy will
        try:
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind((anywhere, port))
                trial.listen(1)
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                raise CorpusError(
                    f"Another program listens on port {port} of this node, which the proxy needs; nothing was changed."
                ) from err


def running(places: Places) -> bool:
    """Tell whether it answers."""
    try:
        return "Pid:" in ask(places.socket, "show info")
    except OSError:
        return False


def start(places: Places) -> None:
    """Start it: under systemd where that is in charge and knows it, else as a daemon.

    :raises CorpusError: it does not answer
    """
    if places.booted and (places.units / UNIT).exists():
        processes.run(["systemctl", "restart", UNIT])
    else:
        processes.run(["haproxy", "-W", "-D", "-f", places.proxy, "-p", places.pid, "-S", f"{places.master},mode,600"])
    _until(lambda: running(places), "haproxy was started and does not answer: see its log.")


def reload(places: Places) -> None:
    """Let new workers take over the listening sockets with the configuration that stands on disk; none is closed.

    :raises CorpusError: they did not come up; the ones before go on
    """
    before = _worker(places)
    _order(places.master, "reload")
    _until(
        lambda: _worker(places) not in ("", before),
        "haproxy did not take its new configuration, and goes on with the one before: see its log.",
    )


def stop(places: Places) -> None:
    """Stop it, where we started it as a daemon."""
    try:
        pid = int(places.pid.read_text(encoding="ascii"))
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    _until(lambda: not Path(f"/proc/{pid}").exists() or not running(places), "haproxy does not end.")


def live_map(places: Places, name: str) -> dict[str, str]:
    """Return a map as the running haproxy has it, in the order in which it looks through it."""
    lines = _order(places.socket, f"show map {places.maps / name}.map").splitlines()
    words = [line.split(" ", 2) for line in lines if line.startswith("0x")]
    return {key: value for _, key, value in words}


def commit_map(places: Places, name: str, entries: Mapping[str, str]) -> None:
    """Replace a map in the running haproxy at once: a request sees the whole old one or the whole new one.

    :raises CorpusError: haproxy did not take it; the old one is in force
    """
    path = places.maps / f"{name}.map"
    answer = _order(places.socket, f"prepare map {path}").strip()
    version = answer.rpartition(": ")[2]
    if not version.isdigit():
        raise CorpusError(f"haproxy does not prepare the map {name}: {answer}")
    lines = [f"{key} {value}" for key, value in entries.items()]
    for first in range(0, len(lines), _AT_ONCE):
        payload = "\n".join(lines[first : first + _AT_ONCE])
        if answer := _order(places.socket, f"add map @{version} {path} <<\n{payload}\n").strip():
            raise CorpusError(f"haproxy does not take the map {name}: {answer}")
    if answer := _order(places.socket, f"commit map @{version} {path}").strip():
        raise CorpusError(f"haproxy does not commit the map {name}: {answer}")


def ask(path: Path, command: str) -> str:
    """Send one command to a socket of haproxy and return the whole answer.

    :raises OSError: nobody listens there
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(10)
        stream.connect(str(path))
        stream.sendall(command.encode() + b"\n")
        parts = []
        while part := stream.recv(65536):
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


def _order(path: Path, command: str) -> str:
    """Like :func:`ask`, where haproxy is known to run."""
    try:
        return ask(path, command)
    except OSError as err:
        raise CorpusError(f"haproxy does not answer at {path} ({err.strerror or err}).") from err


def _worker(places: Places) -> str:
    """Return the process id of the worker that answers, or an empty text."""
    try:
        lines = ask(places.socket, "show info").splitlines()
    except OSError:
        return ""
    return next((line.partition(": ")[2] for line in lines if line.startswith("Pid:")), "")


def _until(condition: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise CorpusError(complaint)
        time.sleep(0.02)
