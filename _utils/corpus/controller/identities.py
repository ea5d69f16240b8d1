"""Who a person is, as the master knows: by their groups in its ``external_auth``, and their roles in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import operations, permissions
from corpus.controller.journal import Journal
from corpus.errors import CorpusError

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

#: Where people may come from, the first one that the master has; ``file`` has services.
_SOURCES = ("ldap", "pam", "rest", "auto", "file")


def source(opts: Mapping[str, Any]) -> str:
    """Return by which of the master's ``external_auth`` people log in.

    :raises CorpusError: it has none
    """
    known = opts.get("external_auth") or {}
    for name in _SOURCES:
        if name in known:
            return name
    raise CorpusError("The master's configuration has no external_auth: nobody can log in.")


def groups(opts: Mapping[str, Any], name: str) -> list[str]:
    """Return the groups of a person as they are now; none for a name that is not known.

    :param opts: of the master
    """
    import salt.auth

    load = {"username": name, "eauth": source(opts)}
    return sorted({str(group) for group in salt.auth.LoadAuth(dict(opts)).get_groups(load) or ()})


def person(cloud: Cloud, name: str) -> permissions.Person:
    """Return a person of a login name."""
    known = groups(cloud.opts, name)
    with cloud.registry.reading() as session:
        return permissions.person(session, name, known, cloud.settings.admins)


def check(cloud: Cloud, name: str, action: str, arguments: Mapping[str, Any]) -> None:
    """See that a person may do something.

    :raises NotThere: it is about something that they may not see
    :raises Forbidden: they may not do it
    """
    asking = person(cloud, name)
    with cloud.registry.reading() as session:
        permissions.check(session, asking, action, arguments)


def perform(cloud: Cloud, operation: str) -> dict[str, Any]:
    """Do an operation that was queued, when who asks for it may; return the report.

    :param operation: its uuid
    :raises NotThere: it is about something that they may not see
    :raises Forbidden: they may not do it
    """
    journal = Journal.load(cloud.registry, operation)
    try:
        check(cloud, journal.who, journal.kind, journal.arguments)
    except CorpusError as err:
        operations.refuse(cloud, operation, str(err))
        raise
    return operations.perform(cloud, operation)
