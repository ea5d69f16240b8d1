"""How an endpoint has something changed: done by the master (202), or only planned (200); once for each key.

.. code-block:: python

    @router.post("/guests", **CHANGES)
    def create_guest(given: NewGuest, change: Change) -> Response:
        return change("guest.create", given.model_dump())

Who sends an ``Idempotency-Key`` may send the same request again when no answer came: it is done once, and answered the
same way for a day.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import delete, select

from corpus.controller.registry.models import IdempotencyKey, Owner, now
from corpus.errors import Conflict, CorpusError
from corpus.web.login import Asking, Caller
from corpus.web.problems import Refused
from corpus.web.schemas import Accepted, Plan, Planned, accepted
from corpus.web.service import Service, Serving, subject

#: What every endpoint that has something changed answers; for its decorator.
CHANGES: dict[str, Any] = {
    "status_code": 202,
    "response_model": Accepted,
    "responses": {
        200: {"model": Plan, "description": "What would be done: `plan=true` was given"},
        202: {
            "description": "It is being done",
            "headers": {"Location": {"description": "Where it can be polled", "schema": {"type": "string"}}},
        },
    },
}
#: By which secrets of requests are compared, as long as the service runs.
_OURS = secrets.token_bytes(32)
#: How long a request is waited for whose key was seen and whose answer was not.
_PATIENCE = datetime.timedelta(minutes=2)

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Any word of yours: the same request with the same word is done once",
        examples=["0b9d4f8e-5a3c-4c43-8a5e-2b1f6d1f7b55"],
    ),
]


class Changing:
    """Has something changed as who asks for it.

    :param plan: whether only to tell what would be done
    :param key: that the request came with
    """

    def __init__(self, request: Request, caller: Caller, service: Service, plan: bool, key: str | None) -> None:
        self.request, self.caller, self.service = request, caller, service
        self.plan, self._key = plan, key

    def __call__(self, kind: str, arguments: Mapping[str, Any], content: str | None = None) -> Response:
        """Have an operation done, or planned; return the answer.

        :param kind: of operation
        :param arguments: those that are None were not given
        :param content: of the argument ``sealed``, which is another one each time
        :raises NotThere: it is about something that they may not see
        :raises Forbidden: they may not do it
        :raises Locked: something is under way on the same thing
        """
        if self.plan:
            self.service.audited(self.request, kind, subject(kind, arguments), "A plan: nothing was changed.")
            return JSONResponse(Plan(**self.service.plan(self.caller, kind, arguments)).model_dump(mode="json"))
        if self._key is None:
            return _answer(self._begin(kind, arguments))
        told = dict(arguments)
        if content is not None:  # by a key that no registry has: a digest alone could be guessed
            told["sealed"] = hmac.digest(_OURS, content.encode(), "sha256").hex()
        words = [self.request.method, self.request.url.path, kind, told]
        digest = hashlib.sha256(json.dumps(words, sort_keys=True, default=str).encode()).hexdigest()
        known = _claimed(self.service, self.caller, self._key, digest)
        if known is not None:
            self.request.state.detail = f"The same as before: {known['operation']}."
            return _answer(known, again=True)
        try:
            answer = self._begin(kind, arguments)
        except BaseException:
            _forget(self.service, self.caller, self._key)
            raise
        _keep(self.service, self.caller, self._key, answer)
        return _answer(answer)

    def _begin(self, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        uuid = self.service.begin(self.request, self.caller, kind, arguments)
        return accepted(uuid).model_dump(mode="json")


def changing(request: Request, caller: Asking, service: Serving, plan: Planned = False, key: Key = None) -> Changing:
    """What has something changed as who asks."""
    return Changing(request, caller, service, plan, key)


#: A parameter of an endpoint that has something changed.
Change = Annotated[Changing, Depends(changing)]


def _answer(told: Mapping[str, Any], again: bool = False) -> Response:
    headers = {"Location": str(told["href"]), **({"Idempotency-Replayed": "true"} if again else {})}
    return JSONResponse(dict(told), 202, headers)


def _claimed(service: Service, caller: Caller, key: str, digest: str) -> dict[str, Any] | None:
    """Take a key for a request, or return what it was answered before.

    :raises Refused: the key stands for another request, or for one that is not answered yet
    """
    try:
        with service.registry.session() as session:
            mine = select(Owner.id).where(Owner.name == caller.person.name).scalar_subquery()
            row = session.scalar(
                select(IdempotencyKey)
                .where(IdempotencyKey.owner_id == mine, IdempotencyKey.key == key)
                .with_for_update()
            )
            if row is None:
                owner = session.scalars(select(Owner.id).where(Owner.name == caller.person.name)).one()
                session.add(IdempotencyKey(owner_id=owner, key=key, request=digest))
                return None
            if row.request != digest:
                raise Refused(422, "This Idempotency-Key was used for another request: take a new one.")
            if row.status is not None:
                return dict(row.answer or {})
            if now() - row.created < _PATIENCE:
                raise _under_way()
            row.created = now()  # its process died
            return None
    except Conflict as err:  # the same request came twice in this moment
        raise _under_way() from err


def _under_way() -> CorpusError:
    return Refused(409, "The first request with this Idempotency-Key is not answered yet.", {"Retry-After": "1"})


def _keep(service: Service, caller: Caller, key: str, answer: Mapping[str, Any]) -> None:
    with service.registry.session() as session:
        row = session.scalar(_of(caller, key))
        if row is not None:
            row.status, row.answer = 202, dict(answer)


def _forget(service: Service, caller: Caller, key: str) -> None:
    """Nothing was begun: the request may come again."""
    with service.registry.session() as session:
        session.execute(
            delete(IdempotencyKey).where(IdempotencyKey.id.in_(_of(caller, key).with_only_columns(IdempotencyKey.id)))
        )


def _of(caller: Caller, key: str) -> Any:
    return select(IdempotencyKey).join(Owner).where(Owner.name == caller.person.name, IdempotencyKey.key == key)
