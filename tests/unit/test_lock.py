"""One deployment a project at a time."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from corpus.errors import Locked
from corpus.project.keeping import lock
from corpus.project.layout import Layout

HOLD = """
import sys, time
from pathlib import Path
from corpus.project.keeping import lock
from corpus.project.layout import Layout, Roots
with lock.held(Layout(Roots(Path(sys.argv[1])), "demo"), "deploy", "ada from 192.0.2.1"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another(layout: Layout) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is told to go on, or dies."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, layout.roots.projects], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_held_and_free_again(layout: Layout) -> None:
    assert lock.holder(layout) is None
    with lock.held(layout, "deploy", "ada"):
        held = lock.holder(layout)
        assert held is not None
        assert (held["what"], held["who"], held["pid"]) == ("deploy", "ada", os.getpid())
        assert held["since"].endswith("Z")
    assert lock.holder(layout) is None
    with lock.held(layout, "configure", "bob"):
        pass
    assert layout.lock.stat().st_mode & 0o777 == 0o600


def test_free_again_after_an_error(layout: Layout) -> None:
    with pytest.raises(RuntimeError), lock.held(layout, "deploy", "ada"):
        raise RuntimeError
    assert lock.holder(layout) is None


def test_the_second_is_told_who_since_when_and_what(layout: Layout) -> None:
    with another(layout) as process:
        with (
            pytest.raises(
                Locked,
                match=rf"Cannot roll back 'demo' now: ada from 192\.0\.2\.1 holds it since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ "
                rf"to deploy it \(process {process.pid}\)\. Try again, or wait for it with wait=SECONDS\.",
            ),
            lock.held(layout, "roll back", "bob"),
        ):
            pass
        holder = lock.holder(layout)
        assert holder is not None
        assert holder["who"] == "ada from 192.0.2.1", "a refusal leaves what the holder wrote"


def test_the_second_waits(layout: Layout) -> None:
    with another(layout) as process:
        assert process.stdin is not None
        threading.Timer(0.3, process.stdin.close).start()
        with lock.held(layout, "deploy", "bob", wait=30):
            holder = lock.holder(layout)
    assert holder is not None
    assert holder["who"] == "bob"


def test_waiting_has_an_end(layout: Layout) -> None:
    began = time.monotonic()
    with another(layout), pytest.raises(Locked, match="ada"), lock.held(layout, "deploy", "bob", wait=0.3):
        pass
    assert time.monotonic() - began >= 0.3


def test_the_lock_dies_with_its_holder(layout: Layout) -> None:
    with another(layout) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert lock.holder(layout) is None
        with lock.held(layout, "deploy", "bob"):
            pass


def test_who_only_looks_keeps_nobody_out(layout: Layout) -> None:
    """``status`` asks for the holder while somebody pushes: it has a shared lock for a moment."""
    with layout.lock.open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, [looking, fcntl.LOCK_UN]).start()
        with lock.held(layout, "deploy", "ada"):
            holder = lock.holder(layout)
    assert holder is not None
    assert holder["who"] == "ada"


@pytest.mark.parametrize("noise", [b"", b"{", b"\x00\xff", b'{"who": "old"}'])
def test_what_a_dead_holder_left_in_the_file_does_not_matter(layout: Layout, noise: bytes) -> None:
    layout.lock.write_bytes(noise)
    assert lock.holder(layout) is None
    with lock.held(layout, "deploy", "ada"):
        holder = lock.holder(layout)
    assert holder is not None
    assert holder["who"] == "ada"


def test_two_projects_do_not_wait_for_each_other(layout: Layout, tmp_path: Path) -> None:
    other = Layout(layout.roots, "other")
    other.own.mkdir(parents=True)
    with lock.held(layout, "deploy", "ada"), lock.held(other, "deploy", "ada"):
        pass


def test_maintenance(layout: Layout) -> None:
    lock.check_open(layout)
    note = lock.close_for_maintenance(layout, "ada", "moving the disk")
    assert (note["who"], note["reason"]) == ("ada", "moving the disk")
    assert lock.close_for_maintenance(layout, "bob", "another reason") == note, "the first one counts"
    with pytest.raises(
        Locked,
        match=r"'demo' is locked by ada since 20.*Z \(moving the disk\): mc_project\.unlock demo allows deployments again",
    ):
        lock.check_open(layout)
    assert lock.reopen(layout) is True
    assert lock.reopen(layout) is False
    lock.check_open(layout)


def test_maintenance_without_a_reason(layout: Layout) -> None:
    lock.close_for_maintenance(layout, "ada", "")
    with pytest.raises(Locked, match=r"locked by ada since \S+Z: mc_project"):
        lock.check_open(layout)
