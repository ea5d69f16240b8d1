"""Visitors: they ask for a page all the time, and tell who was refused and how long nobody was answered."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.machine import page


@dataclass(frozen=True)
class Answer:
    """What a visitor got.

    :param status: of HTTP; 0: nobody answered
    :param text: the page
    :param when: it was there, seconds on a clock that only goes forward
    :param seconds: it took
    """

    status: int
    text: str
    when: float
    seconds: float


@dataclass
class Answers:
    """What visitors of one page got, and in between.

    :param began: when they began to ask
    :param given: every answer, in the order in which they came
    """

    began: float
    given: list[Answer] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.given)

    @property
    def lost(self) -> list[Answer]:
        """The answers that no visitor should get: everything but 200."""
        return [answer for answer in self.given if answer.status != 200]

    @property
    def texts(self) -> list[str]:
        """The pages in the order in which they were first seen, and the last one again when it was not seen last of all.

        While the web front changes over, its old workers and its new ones answer in turns for a moment.
        """
        good = [answer.text for answer in self.given if answer.status == 200]
        seen = list(dict.fromkeys(good))
        return [*seen, good[-1]] if seen and seen[-1] != good[-1] else seen

    @property
    def longest_gap(self) -> float:
        """The longest time between two good answers, in milliseconds; that from the beginning to the first counts."""
        good = [self.began, *(answer.when for answer in self.given if answer.status == 200)]
        return max((later - sooner for sooner, later in itertools.pairwise(good)), default=0.0) * 1000


@contextmanager
def asking(
    port: int,
    path: str = "/",
    every: float = 0.01,
    visitors: int = 1,
    host: str = "localhost",
    get: Callable[[int, str, str], tuple[int, str]] = page,
) -> Iterator[Answers]:
    """Ask for a page again and again while the block runs.

    :param every: seconds between two requests, when the answers come at once
    :param visitors: how many ask in turns; as many requests can be under way at once
    :param get: asks for a page of a port by path and host name, and returns its status and text
    """
    answers = Answers(time.monotonic())
    over = threading.Event()

    def ask(number: int) -> None:
        if over.wait(every * number):
            return
        while not over.is_set():
            began = time.monotonic()
            status, text = get(port, path, host)
            ended = time.monotonic()
            answers.given.append(Answer(status, text, ended, ended - began))
            over.wait(max(every * visitors - (ended - began), 0))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(visitors)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()
        answers.given.sort(key=lambda answer: answer.when)
