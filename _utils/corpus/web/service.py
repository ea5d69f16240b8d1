"""What endpoints and pages work with: the registry to read from, the master to ask, and one way to have things done."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from corpus.controller import operations, permissions, questions, sealing
from corpus.controller.cloud import Cloud
from corpus.controller.registry.store import Registry
from corpus.controller.settings import Settings
from corpus.errors import CorpusError
from corpus.web.master import Master
from corpus.web.settings import WebSettings

if TYPE_CHECKING:
    from corpus.web.login import Caller

#: Seconds that the master may take to answer a question.
ANSWERING = 30.0


class Service:
    """The web service.

    :param settings: what it was told
    """

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self.master = Master(settings)

    @cached_property
    def registry(self) -> Registry:
        """The controller's registry; without the key of its secrets."""
        return Registry(self.settings.registry, Path("/nonexistent"))

    @cached_property
    def cloud(self) -> Cloud:
        """The cloud as far as the web knows it: to read from, not to act on."""
        made = Cloud(Settings(registry_url=self.settings.registry, zone=self.settings.zone))
        made.__dict__["registry"] = self.registry
        return made

    @cached_property
    def _sealing_key(self) -> str:
        return str(self.question("sealing.key", {}, self.settings.identity))

    def sealed(self, value: str, purpose: str) -> str:
        """Return a secret so that it may stand in the registry, in an operation's arguments or a question's.

        The master opens it with ``cloud.sealing.unseal(box, purpose)``.

        :param purpose: what it is for, such as ``project.env_set:shop``: it opens for nothing else
        """
        return sealing.seal(self._sealing_key, value, purpose)

    def allowed(self, caller: Caller, action: str, arguments: Mapping[str, Any]) -> None:
        """See that who asks may do something.

        :raises NotThere: it is about something that they may not see
        :raises Forbidden: they may not do it
        """
        with self.registry.reading() as session:
            permissions.check(session, caller.person, action, arguments)

    def reads(self, caller: Caller, noun: str) -> None:
        """See that who asks came with a token that is good for reading things of a kind, of which they see theirs.

        :raises Forbidden: it is not
        """
        permissions.scoped(caller.person, f"{noun}.view")

    def begin(self, request: Request, caller: Caller, kind: str, arguments: Mapping[str, Any]) -> str:
        """Have an operation done; return its uuid. The audit tells of it.

        :param arguments: those that are None were not given
        :raises Locked: something is under way on the same thing
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        self.audited(request, kind, subject(kind, given))
        self.allowed(caller, kind, given)
        uuid = operations.queue(self.cloud, kind, given, caller.person.name)
        request.state.operation = uuid
        given = {"operation": uuid}
        asked = questions.ask(self.registry, "operation.perform", given, self.settings.identity)
        try:
            questions.hand(self.registry, asked, lambda: self.master.answer(asked))
        except CorpusError:  # it begins what waits when it is there again
            request.state.detail = "The master did not answer; the operation waits for it."
        return uuid

    def plan(self, caller: Caller, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an operation would do."""
        given = {key: value for key, value in arguments.items() if value is not None}
        self.allowed(caller, kind, given)
        found: dict[str, Any] = self.question(
            "operation.plan", {"kind": kind, "arguments": given, "who": caller.person.name}, caller.person.name
        )
        return found

    def ask(self, caller: Caller, name: str, arguments: Mapping[str, Any], timeout: float = ANSWERING) -> Any:
        """Return what the master answers to a person's question.

        :param timeout: seconds
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        self.allowed(caller, name, given)
        return self.question(name, given, caller.person.name, timeout)

    def question(self, name: str, arguments: Mapping[str, Any], who: str, timeout: float = ANSWERING) -> Any:
        """Return what the master answers to a question, without looking at who asks."""
        uuid = questions.ask(self.registry, name, arguments, who)
        return questions.read(self.registry, uuid, timeout, lambda: self.master.answer(uuid))

    def audited(self, request: Request, action: str, subject: str | None, detail: str | None = None) -> None:
        """Say what a request is about: the audit is written when it is answered, whatever the answer is."""
        request.state.action, request.state.subject = action, subject
        if detail is not None:
            request.state.detail = detail


def subject(kind: str, arguments: Mapping[str, Any]) -> str:
    """What an operation is about, as the audit calls it: ``guest:shop``."""
    keys = ("name", "node", "host", "uuid", "platform", "owner", "zone", "account")
    name = next((arguments[key] for key in keys if arguments.get(key)), "")
    return f"{kind.split('.')[0]}:{name}"[:300]


def service(request: Request) -> Service:
    """The service of the application that a request is for."""
    found: Service = request.app.state.service
    return found


#: A parameter of an endpoint.
Serving = Annotated[Service, Depends(service)]
