"""Following what happens: one reader of the registry's events for all who follow, each of whom sees what they may."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from corpus.controller import following, permissions
from corpus.web import login

if TYPE_CHECKING:
    from fastapi import Request

    from corpus.controller.permissions import Person
    from corpus.controller.registry.models import Event
    from corpus.web.service import Service

#: Seconds between two looks while somebody follows.
_PAUSE = 0.2
#: Events behind the newest one that are looked at again: transactions may end in another order than they began.
_AGAIN = 50
#: Seconds for which it is believed who follows, and what they may see: with the time for which groups are, a minute.
_SIGHT = 12.0
#: So many things are remembered of each who follows.
_REMEMBERED = 1000


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
        self, request: Request, last: int | None, wanted: Callable[[Event], bool]
    ) -> AsyncIterator[Event | None]:
        """Yield the events that a person may see; None now and then, when there was nothing.

        It ends when they may come in no more, and when they read too slowly: they come again, and ask for what they missed.

        :param request: with what lets them in
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
            sight = _Sight(self._service, request)
            seen = last or 0
            if last is not None:
                while missed := await run_in_threadpool(following.after, self._service.registry, seen):
                    for event in missed:
                        seen = max(seen, event.id)
                        if wanted(event) and await sight.allows(event):
                            yield event
            told = set(range(seen - _AGAIN, seen + 1)) if last is not None else set()
            while await sight.lasts() and not (queue.empty() and queue not in self._followers):
                try:
                    event = await asyncio.wait_for(queue.get(), _SIGHT)
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
                    if queue.full():  # whoever does not read gets the rest of it, and then no more
                        self._followers.discard(queue)
                    else:
                        queue.put_nowait(event)
            seen = {one for one in seen if one > newest - 2 * _AGAIN}
            await asyncio.sleep(_PAUSE)


class _Sight:
    """Who follows, and what they may see; remembered for a while.

    :param request: with what lets them in
    """

    def __init__(self, service: Service, request: Request) -> None:
        self._service, self._request = service, request
        self._person: Person | None = request.state.caller.person
        self._looked = time.monotonic()
        self._known: dict[tuple[str, str | None], tuple[float, bool]] = {}

    async def lasts(self) -> bool:
        """Tell whether they may still come in."""
        if self._person is not None and time.monotonic() - self._looked > _SIGHT:
            caller = await run_in_threadpool(login.known, self._request, self._service)
            self._person, self._looked = caller.person if caller else None, time.monotonic()
        return self._person is not None

    async def allows(self, event: Event) -> bool:
        """Tell whether they may see an event."""
        if not await self.lasts():
            return False
        about = (event.subject or "", event.operation)
        at, sees = self._known.get(about, (-math.inf, False))
        if time.monotonic() - at > _SIGHT:
            sees = await run_in_threadpool(self._look, *about)
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known[about] = (time.monotonic(), sees)
        return sees

    def _look(self, subject: str, operation: str | None) -> bool:
        assert self._person is not None
        with self._service.registry.reading() as session:
            return permissions.told(session, self._person, subject, operation)
