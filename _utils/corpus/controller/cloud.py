"""The cloud as operations work with it: settings, registry, minions, DNS, mail, and whoever waits or listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from corpus.controller.settings import Settings

if TYPE_CHECKING:
    from corpus.controller.registry.store import Registry


class Cloud:
    """What there is to work with. Nothing is opened before it is used.

    :param settings: of the controller
    :param opts: of the master
    :param say: shows a line to whoever waits
    :param tell: fires an event: its tag and its data
    """

    def __init__(
        self,
        settings: Settings,
        opts: Mapping[str, Any] | None = None,
        say: Callable[[str], None] | None = None,
        tell: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self.settings = settings
        self.opts: Mapping[str, Any] = opts or {}
        self.say = say or (lambda line: None)
        self.tell = tell or (lambda tag, data: None)

    @cached_property
    def registry(self) -> Registry:
        """The registry."""
        from corpus.controller.registry.store import Registry

        return Registry(self.settings.registry_url, self.settings.key_file)
