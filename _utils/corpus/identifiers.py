"""Names that come from outside, checked before they touch a path, an argv or a template.

A project's name is also a Unix user, a DNS label and a part of an sls reference, so it is narrower than any of them.
"""

from __future__ import annotations

import datetime
import re
import uuid

from corpus.errors import UsageError

_PROJECT = re.compile(r"[a-z](?:[a-z0-9]|[-_](?=[a-z0-9])){0,30}")
_RELEASE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_STEP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,199}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_REVISION = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def shown(value: object) -> str:
    """Return ``value`` quoted for a message, never longer than 60 characters."""
    text = repr(value) if isinstance(value, str) else repr(str(value))
    return text if len(text) <= 60 else f"{text[:32]}…' ({len(str(value))} characters)"


def project_name(name: object) -> str:
    """Return ``name`` when it can name a project.

    :raises UsageError: it is not 1 to 31 characters of ``a-z 0-9 - _``, starting with a letter
    """
    if isinstance(name, str) and _PROJECT.fullmatch(name):
        return name
    raise UsageError(
        f"{shown(name)} cannot name a project: use 1 to 31 lower-case letters, digits, '-' or '_', "
        "starting with a letter and ending with a letter or digit."
    )


def release_id(value: object) -> str:
    """Return ``value`` when it has the form of a release id, ``<UTC date>T<time>Z-<8 hex digits>``."""
    if isinstance(value, str) and _RELEASE.fullmatch(value):
        return value
    raise UsageError(
        f"{shown(value)} is not a release id (such as 20260131T120000Z-1a2b3c4d): see mc_project.list_releases."
    )


def new_release_id(now: datetime.datetime | None = None) -> str:
    """Return a fresh id; ids sort by when their deployment began (UTC).

    The first four digits behind the time are the fraction of its second, the others are nobody's.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y%m%dT%H%M%SZ}-{(now.microsecond << 16) // 1_000_000:04x}{uuid.uuid4().hex[:4]}"


def upgrade_step(value: object) -> str:
    """Return ``value`` when it can name an upgrade step (a file ``.salt/upgrades/<step>.sls``)."""
    if isinstance(value, str) and _STEP.fullmatch(value):
        return value
    raise UsageError(f"{shown(value)} cannot name an upgrade step: use up to 100 letters, digits, '-' or '_'.")


def branch_name(value: object) -> str:
    """Return ``value`` when it can name a git branch (the sane part of git-check-ref-format(1))."""
    if (
        isinstance(value, str)
        and _BRANCH.fullmatch(value)
        and ".." not in value
        and "//" not in value
        and not value.endswith((".", "/", ".lock"))
        and not any(part in value for part in ("/.", ".lock/"))
        and value != "HEAD"
    ):
        return value
    raise UsageError(f"{shown(value)} cannot name a git branch.")


def host_name(value: object) -> str:
    """Return ``value`` when it can name a machine: one label of a DNS name (RFC 1123), in lower case.

    :raises UsageError: it is not 1 to 63 characters of ``a-z 0-9 -``, with a letter or digit at both ends, or is a uuid
    """
    if isinstance(value, str) and _UUID.fullmatch(value):
        raise UsageError(f"{shown(value)} cannot name a machine: a uuid stands for another one.")
    if isinstance(value, str) and _LABEL.fullmatch(value):
        return value
    raise UsageError(
        f"{shown(value)} cannot name a machine: use 1 to 63 lower-case letters, digits or '-', "
        "with a letter or digit at both ends."
    )


def domain_name(value: object) -> str:
    """Return ``value`` when it is a DNS name without the dot at its end, in lower case; ``_`` may begin a label.

    :raises UsageError: it is not
    """
    if isinstance(value, str) and len(value) <= 253:
        labels = value.removeprefix("*.").split(".")
        if all(_LABEL.fullmatch(label.removeprefix("_")) for label in labels):
            return value
    raise UsageError(
        f"{shown(value)} is not a DNS name: use lower-case labels of letters, digits and '-', joined by dots; "
        "the first may be '*'."
    )


def is_revision(value: object) -> bool:
    """Tell whether ``value`` is a full git object id in hexadecimal."""
    return isinstance(value, str) and _REVISION.fullmatch(value) is not None
