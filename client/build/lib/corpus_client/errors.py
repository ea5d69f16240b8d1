"""What can go wrong, and the exit status that tells it."""

from __future__ import annotations

FAILED, USAGE, NOT_ALLOWED, NOT_THERE, UNREACHABLE, CONFLICT, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130

#: What each exit status means.
STATUSES = {
    0: "done",
    FAILED: "it failed; what was begun is undone where that is possible",
    USAGE: "the command line, the settings' file or a value is wrong",
    NOT_ALLOWED: "not logged in, or not allowed to",
    NOT_THERE: "there is no such thing, or it is not yours to see",
    UNREACHABLE: "the service, or what it needs, does not answer",
    CONFLICT: "something else is under way, or is there already",
    INTERRUPTED: "interrupted by Ctrl-C; an operation goes on",
}


class ClientError(Exception):
    """Something did not work; the message tells what, where, and what to do.

    :param message: one or two sentences
    :param status: the command's exit status
    """

    status = FAILED

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class WrongUse(ClientError):
    """The caller asked for something that cannot be."""

    status = USAGE


class NotAllowed(ClientError):
    """Nobody who is known, or somebody who may not."""

    status = NOT_ALLOWED


class NotThere(ClientError):
    """There is no such thing."""

    status = NOT_THERE


class Unreachable(ClientError):
    """The service does not answer."""

    status = UNREACHABLE
