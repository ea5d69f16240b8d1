"""Who a person is, as the master knows: by their groups in its ``external_auth``, and their roles in the registry."""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.controller import operations, permissions
from corpus.controller.journal import Journal
from corpus.errors import CorpusError, NotThere
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller.cloud import Cloud

#: How people may be called. Directories take names that differ in case, blanks and invisible signs for the same person.
NAME = re.compile(r"[a-z0-9_][a-z0-9_.@+-]{0,99}")
#: Seconds that LDAP may take for each thing that it is asked.
_LDAP_SECONDS = 5
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
    """Return the groups of a person as they are now.

    :param opts: of the master
    :raises NotThere: nobody is called that, or not any more
    :raises CorpusError: whoever knows people cannot be asked
    """
    import salt.auth

    where = source(opts)
    known = _KNOW.get(where)
    if not NAME.fullmatch(name) or (known is not None and not known(opts, name)):
        raise NotThere(f"Nobody is called {shown(name)} here.")
    found = salt.auth.LoadAuth(dict(opts)).get_groups({"username": name, "eauth": where})
    if found is None:  # what went wrong is not told
        raise CorpusError(f"The groups of {name} cannot be looked up: see the settings {where} of the master.")
    return sorted({str(group) for group in found or ()})


def _in_ldap(opts: Mapping[str, Any], name: str) -> bool:
    """Tell whether LDAP has a person; by Salt's own settings of it, as Salt finds people who log in."""
    import ldap
    import ldap.filter
    from salt.auth import ldap as directory
    from salt.exceptions import CommandExecutionError

    ldap.set_option(ldap.OPT_NETWORK_TIMEOUT, _LDAP_SECONDS)
    ldap.set_option(ldap.OPT_TIMEOUT, _LDAP_SECONDS)
    try:
        bound = directory._bind_for_search(opts=opts)
        if bound is None:
            raise CorpusError("People cannot be looked up in LDAP: set auth.ldap.binddn and auth.ldap.bindpw.")
        words = directory._render_template(opts["auth.ldap.filter"], ldap.filter.escape_filter_chars(name))
        scope = int(opts.get("auth.ldap.scope", ldap.SCOPE_SUBTREE))
        entries = bound.search_s(opts["auth.ldap.basedn"], scope, words, ["1.1"])
    except KeyError as err:
        raise CorpusError(f"People cannot be looked up in LDAP: set {err.args[0]}.") from err
    except (ldap.LDAPError, CommandExecutionError) as err:
        raise CorpusError("LDAP does not answer: nobody's groups can be looked up.") from err
    return any(entry[0] for entry in entries)


def _in_unix(opts: Mapping[str, Any], name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _in_file(opts: Mapping[str, Any], name: str) -> bool:
    told = opts["external_auth"]["file"]
    try:
        lines = Path(str(told.get("^filename"))).read_text(encoding="utf-8").splitlines()
    except OSError as err:
        raise CorpusError(f"The file of people {err.filename} cannot be read: {err.strerror}.") from err
    separator, place = str(told.get("^field_separator", ":")), int(told.get("^username_field", 1)) - 1
    return any(line.split(separator)[place : place + 1] == [name] for line in lines)


#: Who can tell whether a person is still there; of another source, that is believed.
_KNOW: Mapping[str, Callable[[Mapping[str, Any], str], bool]] = {"ldap": _in_ldap, "pam": _in_unix, "file": _in_file}


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
