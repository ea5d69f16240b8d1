"""How long a guest is away when it goes to another node, against the same guest restarted where it is."""

import os
import time
from collections.abc import Callable

from bench.figure import Figure, by_round, median
from tests.lab import cloud
from tests.lab.cloud import Cloud
from tests.machine import deadline, run

ROUNDS = 3


def measure(say: Callable[[str], None]) -> Figure:
    """As root."""
    if os.geteuid() != 0:
        raise SystemExit("bench moves: containers are made by root.")
    moves, restarts, whole = [], [], []
    with cloud.ready(machines=2) as lab:
        lab.guest("mover")
        for number in range(ROUNDS):
            report = lab.ok("mc_guest.move", "mover", ("node2", "node1")[number % 2])
            moves.append(float(report["facts"]["downtime"]))
            whole.append(report["seconds"])
            restarts.append(_restart(lab))
            say(
                f"round {number + 1}: away for {moves[-1]:.1f} s of {whole[-1]:.1f} s, restarted in {restarts[-1]:.1f} s"
            )
    return Figure(
        "a guest away in a move, to its restart in place",
        median(moves) / median(restarts),
        None,
        {
            "away_s": median(moves),
            "move_s": median(whole),
            "restart_s": median(restarts),
            "by_round": by_round(moves, restarts),
        },
    )


def _restart(lab: Cloud) -> float:
    """Restart it and wait until ssh answers; the seconds."""
    infos = lab.ok("mc_guest.infos", "mover")
    words = [
        "ssh",
        *lab.ssh_options(),
        "-p",
        str(infos["ssh_port"]),
        f"root@{lab.resolved('mover.' + cloud.ZONE)[0]}",
        "true",
    ]
    began = time.perf_counter()
    lab.ok("mc_guest.restart", "mover")
    for _ in deadline(30):
        if run(words).status == 0:
            break
    return time.perf_counter() - began
