"""What a push does: the configured branch deploys while the push waits, everything else is only stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corpus import identifiers
from corpus.errors import PushRefused

OPTIONS = ("plan", "no-deploy")
_QUARANTINE = re.compile(r"(tmp_objdir-)?incoming-[A-Za-z0-9]+")


@dataclass(frozen=True)
class Update:
    """A ref that a push wants to move.

    :param old: its revision now; zeros when it is new
    :param new: the revision it shall name; zeros to delete it
    :param ref: its full name
    """

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")


@dataclass(frozen=True)
class Push:
    """A push that git has received and not yet accepted.

    :param repository: the bare repository, absolute
    :param who: pushed, and from where
    :param updates: what it wants to move
    :param options: ``git push -o`` words
    :param env: variables by which git reaches the objects it brought
    """

    repository: Path
    who: str
    updates: tuple[Update, ...] = ()
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, repository: Path, lines: Iterable[str]) -> Push:
        """Read what the hook hands over, line by line.

        :raises PushRefused: a line cannot be, or an option is unknown
        """
        who, origin, quarantine = "somebody", "", ""
        updates, options = [], []
        for line in lines:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "who":
                who = _printable(rest)
            elif word == "from":
                origin = _printable(rest)
            elif word == "quarantine":
                quarantine = rest
            elif word == "option":
                options.append(rest)
            elif word == "update":
                updates.append(_update(rest))
            else:
                raise PushRefused(f"The hook of {repository} is of another version: run mc_project.init_project again.")
        for option in options:
            if option not in OPTIONS:
                raise PushRefused(
                    f"There is no push option {identifiers.shown(option)}: use -o {' or -o '.join(OPTIONS)}."
                )
        who = os.environ.get("CORPUS_WHO") or who
        return cls(
            repository,
            f"{who} from {origin}" if origin else who,
            tuple(updates),
            tuple(options),
            _reach(repository, quarantine),
        )

    def deploying(self, branch: str) -> Update | None:
        """Return the update of the branch that deploys, or None.

        :raises PushRefused: it would delete that branch
        """
        update = next((update for update in self.updates if update.ref == f"refs/heads/{branch}"), None)
        if update is not None and update.deletes:
            raise PushRefused(
                f"The branch {branch} names what runs and is not deleted by a push: mc_project.destroy_project removes a project."
            )
        return update

    def stored(self, branch: str) -> str:
        """Return what to tell the pusher about the branches that are only stored."""
        names = [
            update.ref.removeprefix("refs/heads/")
            for update in self.updates
            if update.ref != f"refs/heads/{branch}" and not update.deletes
        ]
        return (
            f"{', '.join(names)}: stored. Only {branch} deploys (git push REMOTE {names[0]}:{branch})." if names else ""
        )


def _update(rest: str) -> Update:
    words = rest.split(" ", 2)
    if len(words) != 3 or not all(identifiers.is_revision(word) for word in words[:2]):
        raise PushRefused(f"{identifiers.shown(rest)} is no ref update.")
    return Update(*words)


def _reach(repository: Path, quarantine: str) -> dict[str, str]:
    """Variables for the quarantined objects; only a folder that git makes for that purpose is believed."""
    if not quarantine:
        return {}
    path = Path(os.path.normpath(quarantine))
    if path.parent != repository / "objects" or not _QUARANTINE.fullmatch(path.name):
        raise PushRefused(f"{identifiers.shown(quarantine)} is no quarantine of {repository}.")
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(path)}


def _printable(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable())[:120]


def environment_cleared() -> None:
    """Take git's variables out of our environment: what runs in a deployment must not land in the pushed repository."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
