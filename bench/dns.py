"""A thousand names registered in one reconcile, against a thousand calls of one name each."""

import time
from collections.abc import Callable

from corpus.controller.dns import zones
from corpus.controller.dns.powerdns import Server
from corpus.controller.dns.records import Record

from bench.figure import Figure, by_round, in_turns, median, seconds
from tests.powerdns import powerdns

GOAL = 0.1
ROUNDS = 3
NAMES = 1000

_ZONE = "corpus.test"


def measure(say: Callable[[str], None]) -> Figure:
    wanted = [Record(f"guest{number}.{_ZONE}", "A", (f"192.0.2.{number % 250}",)) for number in range(NAMES)]
    with powerdns() as running:
        server = Server(running.url, running.key_file)

        def at_once() -> float:
            _fresh(server)
            return seconds(lambda: zones.reconcile(wanted, _ZONE, server))

        def one_by_one() -> float:
            _fresh(server)
            return seconds(lambda: [server.patch(_ZONE, [], [record]) for record in wanted])

        ones, others = in_turns(ROUNDS, at_once, one_by_one, say)
        zones.reconcile(wanted, _ZONE, server)
        began = time.perf_counter()
        assert not zones.reconcile(wanted, _ZONE, server)
        again = time.perf_counter() - began
    return Figure(
        "a thousand names in one reconcile, to one by one",
        median(ones) / median(others),
        GOAL,
        {
            "at_once_s": median(ones),
            "one_by_one_s": median(others),
            "nothing_changed_s": again,
            "by_round": by_round(ones, others),
        },
    )


def _fresh(server: Server) -> None:
    """An empty zone."""
    zones.delete(server, _ZONE)
    zones.create(server, _ZONE, [f"ns1.{_ZONE}"])
