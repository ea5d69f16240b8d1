"""The cloud as operations work with it: settings, registry, minions, DNS, mail, and whoever waits or listens.

A runner opens it with ``cloud.of(globals())``, and knows who asks by ``cloud.who(globals())``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from corpus.controller.mail import Mailer
from corpus.controller.minions import Minions
from corpus.controller.sealing import Sealing
from corpus.controller.settings import Settings
from corpus.errors import UsageError

if TYPE_CHECKING:
    from corpus.controller.dns.powerdns import Server
    from corpus.controller.registry.store import Registry

log = logging.getLogger(__name__)


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

    @cached_property
    def minions(self) -> Minions:
        """The minions of the master."""
        return Minions(self.opts)

    @cached_property
    def sealing(self) -> Sealing:
        """Opens what the web service sealed for the master."""
        return Sealing(self.settings.sealing_key)

    @cached_property
    def mailer(self) -> Mailer:
        """Who sends mails."""
        return Mailer(self.settings.mail)

    def mail(self, subject: str, text: str, to: Sequence[str | None] = ()) -> str | None:
        """Send a mail to the sysadmins, and to others; return whom it went to, or None when there is no mail server.

        :param text: without credentials
        :param to: further addresses; None among them is left out
        :raises MailFailed: it could not be sent
        """
        known = self.settings.mail.sysadmins if self.settings.mail else ()
        recipients = list(dict.fromkeys([*known, *(address for address in to if address)]))
        return f"to {', '.join(recipients)}" if self.mailer.send(recipients, subject, text) else None

    def dns(self) -> Server | None:
        """The name server, or None when there is none in the settings."""
        return self.name_server() if self.settings.dns else None

    def name_server(self) -> Server:
        """The name server.

        :raises UsageError: there is none in the settings
        """
        from corpus.controller.dns.powerdns import Server

        if self.settings.dns is None:
            raise UsageError("The controller has no DNS server: set corpus.dns in the master's configuration.")
        return Server(self.settings.dns.url, self.settings.dns.api_key_file)


def of(scope: Mapping[str, Any]) -> Cloud:
    """Return the cloud for a runner.

    :param scope: the runner's ``globals()``, with what Salt puts there
    :raises ConfigurationError: the master's configuration is wrong
    """
    from corpus.controller.events import Bus

    opts = scope["__opts__"]
    opts = dict(opts.value() if hasattr(opts, "value") else opts)
    return Cloud(Settings.configured(opts), opts, say, Bus(opts).tell)


def who(scope: Mapping[str, Any], claimed: str | None = None) -> str:
    """Return who asks a runner: the user that Salt authenticated.

    :param claimed: whom a service of ours says that it asks for; it counts when that service is root
    """
    user = str(scope.get("__user__") or "unknown")
    name = claimed if claimed and user == "root" else user
    return "".join(sign for sign in name if sign.isprintable())[:100]


def asked(scope: Mapping[str, Any], action: str, caller: str | None = None) -> Cloud:
    """Return the cloud for a change that is no operation; who asks for it is written into the master's log.

    :param action: such as ``mc_registry.rotate_key``
    :param caller: whom a service of ours says that it asks for
    """
    log.info("%s asks for %s", who(scope, caller), action)
    return of(scope)


def say(line: str) -> None:
    """Show a line to the person who waits, or write it into the master's log."""
    if sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - to the person who waits
    else:
        log.info("%s", line)
