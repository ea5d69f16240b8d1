"""Following what happens: one reader of the registry's events for all who follow, each of whom sees what they may."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from corpus.controller import following, permissions
from corpus.controller.registry.models import Operation

if TYPE_CHECKING:
    from corpus.controller.registry.models import Event
    from corpus.web.login import Caller
    from corpus.web.service import Service

#: Seconds between two looks while somebody follows.
_PAUSE = 0.2
#: Events behind the newest one that are looked at again: transactions may end in another order than they began.
_AGAIN = 50
#: Seconds for which a person's sight of a subject is believed.
_SIGHT = 60.0


class Feed:
    """The events, as they come.

    :param service: whose registry has them
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._followers: set[asyncio.Queue[Event]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def followers(self) -> int:
        """How many follow."""
        return len(self._followers)

    async def follow(
        self, caller: Caller, last: int | None, wanted: Callable[[Event], bool]
    ) -> AsyncIterator[Event | None]:
        """Yield the events that a person may see; None now and then, when there was nothing.

        :param last: id of the last that they saw; None: only what is new
        :param wanted: whether an event is one that they follow
        """
        queue: asyncio.Queue[Event] = asyncio.Queue(2000)
        self._followers.add(queue)
        try:
            async with self._starting:  # of many who come at once, one starts the reader
                if self._reader is None or self._reader.done():
                    newest = await run_in_threadpool(following.newest, self._service.registry)
                    self._reader = asyncio.create_task(self._read(newest))
            sight = _Sight(self._service, caller)
            seen = last or 0
            if last is not None:
                while missed := await run_in_threadpool(following.after, self._service.registry, seen):
                    for event in missed:
                        seen = max(seen, event.id)
                        if wanted(event) and await sight.allows(event):
                            yield event
            told = set(range(seen - _AGAIN, seen + 1)) if last is not None else set()
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), 10)
                except asyncio.TimeoutError:
                    yield None
                    continue
                if event.id not in told and wanted(event) and await sight.allows(event):
                    yield event
        finally:
            self._followers.discard(queue)

    async def _read(self, newest: int) -> None:
        """Read what is new while anybody follows."""
        seen = set(range(newest - _AGAIN, newest + 1))
        while self._followers:
            events = await run_in_threadpool(following.after, self._service.registry, max(0, newest - _AGAIN))
            for event in events:
                if event.id in seen:
                    continue
                seen.add(event.id)
                newest = max(newest, event.id)
                for queue in list(self._followers):
                    if queue.full():  # whoever does not read comes again, and asks for what they missed
                        self._followers.discard(queue)
                    else:
                        queue.put_nowait(event)
            seen = {one for one in seen if one > newest - 2 * _AGAIN}
            await asyncio.sleep(_PAUSE)


class _Sight:
    """What a person may see, remembered for a while: what is theirs, and what they asked for themselves."""

    def __init__(self, service: Service, caller: Caller) -> None:
        self._service, self._caller = service, caller
        self._known: dict[tuple[str, str | None], tuple[float, bool]] = {}

    async def allows(self, event: Event) -> bool:
        """Tell whether they may see an event."""
        about = (event.subject or "", event.operation)
        at, sees = self._known.get(about, (0.0, False))
        if time.monotonic() - at > _SIGHT:
            sees = await run_in_threadpool(self._look, *about)
            self._known[about] = (time.monotonic(), sees)
        return sees

    def _look(self, subject: str, operation: str | None) -> bool:
        person = self._caller.person
        with self._service.registry.reading() as session:
            if permissions.subject(session, person, subject):
                return True
            # What an operation makes is not there when it begins.
            own = select(Operation.id).where(Operation.uuid == operation, Operation.who == person.name)
            return operation is not None and session.scalar(own) is not None
