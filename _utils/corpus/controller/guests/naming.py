"""Names that guests get and lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import guests, names, operations, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller.registry.models import Guest


@operations.kind("guest.link_dns", resolve=guests.NAMED)
def linking(arguments: Mapping[str, Any]) -> list[Step]:
    """Give it a name: in the registry, in DNS, in the proxy of its node."""
    return names.linking(arguments, _bearer, [_rewire])


def _bearer(session: Session, run: Run) -> Guest:
    return wiring.guest(session, run.arguments["name"])


def _rewire(run: Run) -> dict[str, Any]:
    return wiring.traffic(run.cloud, guests.found(run)["node"])


@operations.kind("guest.unlink_dns", forward=True, resolve=guests.NAMED)
def unlinking(arguments: Mapping[str, Any]) -> list[Step]:
    """Take a name away."""
    fqdn = names.name_of(arguments)

    def own(run: Run) -> bool:
        facts = guests.found(run)
        if fqdn == facts["minion"]:
            raise UsageError(f"{fqdn} is the guest's own name: it stays as long as the guest.")
        return False

    return [
        Step("name", own),
        Step("registry", None, lambda run: names.forget(run, fqdn, _bearer), repeatable=True),
        Step("DNS", None, lambda run: names.registered(run, [fqdn]), repeatable=True),
        Step("traffic", None, _rewire, repeatable=True),
    ]
