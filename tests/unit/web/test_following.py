"""Following what happens, at the service's own side of a stream."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from corpus.controller.permissions import Person
from corpus.controller.registry.models import Event
from corpus.web.following import Feed
from corpus.web.service import Service
from corpus.web.settings import WebSettings

from tests.registries import registry_at


def test_a_stream_that_nobody_reads_ends(tmp_path: Path) -> None:
    asked: Any = SimpleNamespace(state=SimpleNamespace(caller=SimpleNamespace(person=Person("root", sysadmin=True))))
    url = f"sqlite:///{tmp_path}/registry.sqlite3"
    told = WebSettings(registry=url, url="https://corpus.test", password_file=tmp_path / "none")
    with registry_at(tmp_path) as registry:

        def happens(times: int) -> None:
            with registry.session() as session:
                session.add_all(Event(kind="operation.says", subject="guest:shop", data={}) for _ in range(times))

        async def followed() -> int:
            feed = Feed(Service(told))
            events = feed.follow(asked, None, lambda _event: True)
            first = asyncio.create_task(anext(events))
            while feed._reader is None:
                await asyncio.sleep(0.01)
            happens(1)
            assert await asyncio.wait_for(first, 20) is not None
            happens(2500)  # and whoever follows reads none of them
            while feed.followers:
                await asyncio.sleep(0.05)
            return len([event async for event in events])

        # What was put by is told, and then no more: they come again, and ask for the rest.
        assert asyncio.run(asyncio.wait_for(followed(), 40)) == 2000
