"""What happens to a deployment is told on the bus of the machine's minion."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import salt.config
import salt.utils.event

from tests.machine import SALT_CALL, Machine, deadline


@contextmanager
def minion(machine: Machine) -> Iterator[list[dict[str, Any]]]:
    """A minion's daemon; what it is asked to pass on to its master."""
    folder = machine.folder / "etc"
    opts = salt.config.minion_config(str(folder / "minion"))
    heard: list[dict[str, Any]] = []
    ended = threading.Event()
    with subprocess.Popen(
        [str(SALT_CALL.with_name("salt-minion")), "-c", str(folder), "--log-level=quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        sockets = machine.folder / "root/var/run/salt/minion"
        for _ in deadline(60):
            if list(sockets.glob("minion_event_*_pull.ipc")):
                break

        def listen() -> None:
            with salt.utils.event.get_event("minion", opts=opts, listen=True) as bus:
                ready.set()
                while not ended.is_set():
                    event = bus.get_event(wait=0.5, tag="fire_master", full=False)
                    if event:
                        heard.append(event)

        ready = threading.Event()
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            ready.wait(30)
            yield heard
        finally:
            ended.set()
            thread.join()
            daemon.terminate()
            daemon.wait(30)


def test_stages_and_the_end_are_told_where_a_minion_runs_and_nobody_waits_where_none_does(machine: Machine) -> None:
    machine.init("told", installer="generic", env={"API_KEY": "do-not-tell-8812"})
    tree = machine.work_tree("told", {"which": "do-not-tell-8812"})
    tag = "corpus/deployment/told/"
    with minion(machine) as heard:
        pushed = tree.push()
        assert pushed.status == 0, pushed.said
        for _ in deadline(20):
            if any(event["tag"].startswith(tag) and event["tag"].endswith("/end") for event in heard):
                break
    ours = [event for event in heard if event["tag"].startswith(tag)]
    end = ours[-1]["data"]
    assert ours[0]["tag"].endswith("/begin")
    begin = ours[0]["data"]
    assert (begin["kind"], begin["revision"], begin["who"]) == ("deploy", end["revision"], end["who"])
    stages = [event["data"] for event in ours if event["tag"].endswith("/stage")]
    begun = [one["stage"] for one in stages if one["state"] == "running"]
    assert begun.index("activate") < begun.index("switch")
    assert [one["stage"] for one in stages if one["state"] == "done"] == begun
    assert begin["stages"] == [name for name in begun if name in begin["stages"]]
    assert "switch" in begin["stages"]
    assert (end["name"], end["kind"], end["result"], end["revision"]) == ("told", "deploy", True, tree.branch())
    assert "8812" not in str(ours)
    # The daemon is gone; its socket is left, as after a crash.
    tree.commit({"which": "two"}, message="do-not-tell-8812")
    began = time.monotonic()
    assert tree.push().status == 0
    assert time.monotonic() - began < 30
