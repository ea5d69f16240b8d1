"""
The cloud controller
====================

Makes this machine the controller, looks at it, and settles what was interrupted.

Functions that change something take ``test=True``: they tell what would be done, and do nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from corpus.controller import cloud, events, initialization, overview, questions
from corpus.controller import operations as journaled
from corpus.door import answered, translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

log = logging.getLogger(__name__)

__virtualname__ = "mc_controller"


def __virtual__():
    return __virtualname__


def init(
    settings: str | dict[str, Any] | None = None,
    zone: str | None = None,
    master_address: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make this machine the cloud controller: packages, the master's configuration, registry, keys, name server, zone.

    Doing it again changes what differs, and nothing else. On a machine without Salt, ``make controller`` does the same.

    settings
        What it should be like: a mapping, or the absolute path of a YAML file; not set: what the master's configuration
        says already.

    zone
        Domain under which nodes and guests get their names.

    master_address
        Name or address at which nodes and guests reach this machine.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{name, result, changes, comment, start}``; ``start`` has the command lines that a person must run, where
    no systemd does.

    CLI Example:

    .. code-block:: bash

        salt-run mc_controller.init zone=corpus.example.org master_address=192.0.2.1
    """
    with translated():
        log.info("%s asks for mc_controller.init", cloud.who(globals(), caller))
        opts = dict(__opts__)
        report = initialization.init(opts, settings, zone, master_address, bool(test), cloud.say)
    return answered(report, __context__)


def report() -> dict[str, Any]:
    """
    Return what there is: nodes, guests, projects, operations under way, and whether each part of the controller answers.

    Returns: ``{result, comment, parts, nodes, guests, projects, operations, minions}``; ``result`` is False when a part
    does not answer.

    CLI Example:

    .. code-block:: bash

        salt-run mc_controller.report
    """
    with translated():
        return answered(overview.report(cloud.of(globals())), __context__)


def operations(limit: int = 20, unfinished: bool = False, operation: str | None = None) -> list[dict[str, Any]]:
    """
    Return operations, newest first: what, who, when, and how they ended.

    limit
        At most so many.

    unfinished
        Only those that are under way, or whose process died.

    operation
        The uuid of one: everything that is known of it, with its steps.

    CLI Example:

    .. code-block:: bash

        salt-run mc_controller.operations limit=5
    """
    with translated():
        there = cloud.of(globals())
        if operation is not None:
            return [journaled.looked_up(there, operation)]
        return journaled.listed(there, limit, unfinished)


def resume(operation: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Finish or undo the operations whose process died. Run it when the controller starts.

    What is under way is left alone.

    operation
        The uuid of one that failed: what is left of it is done, or undone, again.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{result, comment, operations}``: a report for each that was settled. That it was undone is no failure.

    CLI Example:

    .. code-block:: bash

        salt-run mc_controller.resume
    """
    with translated():
        there = cloud.asked(globals(), f"mc_controller.resume {operation or ''}", caller)
        return answered(overview.resume(there, operation, bool(test)), __context__)


def heard(tag: str, minion: str) -> dict[str, Any]:
    """
    Do what an event of a node or a guest asks for. For the reactor, not for people.

    A deployment that ended is kept in the registry; a machine that started is wired again.

    tag
        Of the event.

    minion
        That it says it is from.

    CLI Example:

    .. code-block:: bash

        salt-run mc_controller.heard salt/minion/shop.corpus.test/start shop.corpus.test
    """
    with translated():
        return events.heard(cloud.of(globals()), tag, minion)


def answer(question: str) -> dict[str, Any]:
    """
    Answer a question that was written down, or begin an operation that was queued. For the web service, not for people: it
    writes down who asks for what, and this checks whether they may.

    question
        Its uuid.

    Returns: ``{result}``; the answer is in the registry, for who asked.

    CLI Example:

    .. code-block:: bash

        salt-run mc_controller.answer 5a0c9d4e-20a5-4a53-8a2a-3d5c0e6a7f11
    """
    with translated():
        questions.answer(cloud.of(globals()), question)
    return {"result": True}
