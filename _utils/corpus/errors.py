"""Everything that corpus raises on purpose.

A message is one sentence or two for the person who asked: what was wrong, where, and what to do. Doors translate.
"""

from __future__ import annotations


class CorpusError(Exception):
    """Something did not work; the message tells what, where, and what to do."""


class UsageError(CorpusError):
    """The caller asked for something that cannot be: a bad name, an unknown key, a missing confirmation."""


class ConfigurationError(UsageError):
    """A project's configuration has an unknown key, a wrong type or an unresolvable placeholder."""


class ProjectNotFound(UsageError):
    """There is no project of that name under the projects root."""


class NotThere(UsageError):
    """There is no such thing, or it is not for who asked to see."""


class Forbidden(CorpusError):
    """Who asked may not do that."""


class Locked(CorpusError):
    """Another deployment holds the project, or it was locked for maintenance."""


class MissingTool(CorpusError):
    """A program that is needed is not installed; the message names its package."""


class StageFailed(CorpusError):
    """A stage of a deployment failed.

    :param stage: name of the stage
    :param message: the failing state's own comment, or the mechanism's sentence
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


class ReleaseRefused(CorpusError):
    """A release artifact is not what its manifest says, or would unpack outside of its folder."""


class PushRefused(CorpusError):
    """A push must not be accepted; the branch stays where it was."""


class RegistryError(CorpusError):
    """The registry cannot be reached, is not of this corpus' version, or refuses what it was told."""


class Conflict(RegistryError):
    """What should be unique is there already, or what something else stands on would be gone."""


class NotYet(CorpusError):
    """What a step of an operation needs is found by an earlier one, which was not taken."""


class MinionSilent(CorpusError):
    """A minion is not known to the master, does not answer, or lost what it was asked."""


class MinionFailed(CorpusError):
    """A function of a minion failed.

    :param message: its own words
    :param value: all that it returned
    """

    def __init__(self, message: str, value: object = None) -> None:
        super().__init__(message)
        self.value = value


class MailFailed(CorpusError):
    """A mail could not be sent."""
