"""The commits between two releases, as git's log tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.project.git import repositories

#: commits that are looked at; beyond that a report says "more than"
LIMIT = 1000
_FORMAT = "%m%x00%H%x00%ct%x00%an%x00%s%x00%b"
_FIELDS = _FORMAT.count("%x00") + 1
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{40})")


@dataclass(frozen=True)
class Commit:
    """One commit.

    :param revision: its full id
    :param time: it was committed, seconds since the epoch
    :param author: name
    :param subject: the first line of its message
    :param reverts: the commit that it says to revert
    """

    revision: str
    time: int
    author: str
    subject: str
    reverts: str | None = None


@dataclass(frozen=True)
class Commits:
    """What lies between the release before and this one, newest first.

    :param brought: commits that are new
    :param left: commits that the release before had and this one has not: history was rewritten, or it goes back
    :param first: there was no release before, and ``brought`` is the whole history
    :param more: there are more than were looked at
    """

    brought: tuple[Commit, ...] = ()
    left: tuple[Commit, ...] = ()
    first: bool = False
    more: bool = False

    @property
    def rewritten(self) -> bool:
        """Whether history is another one, and not only shorter or longer."""
        return bool(self.brought and self.left)


def between(
    bare: Path, old: str | None, new: str, user: str | None, env: Mapping[str, str] | None = None
) -> Commits | None:
    """Return the commits between two revisions; None when git does not know ``new``.

    :param old: revision of the release before; None, or one that is not there any more: the whole history is new
    :param env: variables by which git reaches what a push brought that is not accepted yet
    """
    if old == new:
        return Commits()
    found = _log(bare, f"{old}...{new}", user, env) if old else None
    if found is None:
        found = _log(bare, new, user, env)
        if found is None:
            return None
        brought = tuple(commit for _, commit in found)
        return Commits(brought[:LIMIT], first=True, more=len(brought) > LIMIT)
    return Commits(
        tuple(commit for side, commit in found if side == ">")[:LIMIT],
        tuple(commit for side, commit in found if side == "<")[:LIMIT],
        more=len(found) > LIMIT,
    )


def _log(
    bare: Path, revisions: str, user: str | None, env: Mapping[str, str] | None
) -> list[tuple[str, Commit]] | None:
    """Return commits with the side that they stand on, or None when git does not know one of the revisions."""
    words = ("-c", "log.showSignature=false", "log", "-z", "--left-right", f"--max-count={LIMIT + 1}")
    done = repositories.git(bare, *words, f"--format={_FORMAT}", revisions, "--", user=user, env=env, check=False)
    if done.status:
        return None
    parts = done.output.split("\0")
    rows = [parts[at : at + _FIELDS] for at in range(0, len(parts) - _FIELDS + 1, _FIELDS)]
    return [
        (side, _commit(revision, time, author, subject, body)) for side, revision, time, author, subject, body in rows
    ]


def _commit(revision: str, time: str, author: str, subject: str, body: str) -> Commit:
    reverts = _REVERTS.search(body)
    return Commit(revision, int(time), _line(author, 80), _line(subject, 200), reverts.group(1) if reverts else None)


def _line(text: str, limit: int) -> str:
    """Return a text of somebody else's as one line that can be shown: no control characters, not endless."""
    line = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
