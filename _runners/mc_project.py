"""
Projects, from the controller
=============================

Whose a project is, on which guests it runs, and how its deployments went. On a guest itself, :py:mod:`mc_project` of the
minion has everything else.

What takes long is an operation: journaled, undone when it fails, settled by ``mc_controller.resume`` when the controller
died in it. Functions that change something take ``test=True``: they tell what would be done, and do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus import dotenv
from corpus.controller import applications, cloud, operations, projects, sealing
from corpus.door import translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_project"
__func_alias__ = {"list_": "list"}


def __virtual__():
    return __virtualname__


def create(
    name: str,
    owners: list[str] | str | None = None,
    settings: dict[str, Any] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a project known, and let its owners in.

    name
        1 to 31 lower-case letters, digits, ``-`` or ``_``, starting with a letter.

    owners
        Login names; not set: who asks.

    settings
        Configuration keys that every guest gets it with.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.create shop owners='[ada]'
    """
    names = [owners] if isinstance(owners, str) else owners
    return operations.asked(globals(), "project.create", test, caller, name=name, owners=names, settings=settings)


def place(
    name: str,
    guest: str,
    domain: str | None = None,
    settings: dict[str, Any] | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a project ready to be pushed to on a guest.

    name
        The project's name.

    guest
        The guest's name.

    domain
        Under which it is served; not set: the guest's own name for its first project, ``<project>.<guest>`` for others.

    settings
        Configuration keys for this guest alone.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: A report; ``facts`` has the urls to push to, as ``remotes``.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.place shop web1
    """
    return operations.asked(
        globals(), "project.place", test, caller, name=name, guest=guest, domain=domain, settings=settings
    )


def unplace(
    name: str, guest: str, confirm: str | None = None, test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Remove a project, with its data, from a guest. A last archive stays there.

    name
        The project's name.

    guest
        The guest's name.

    confirm
        The project's name again.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.unplace shop web1 confirm=shop
    """
    return operations.asked(globals(), "project.unplace", test, caller, name=name, guest=guest, confirm=confirm)


def destroy(name: str, confirm: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Remove a project, with its data, from all of its guests and from the registry.

    What was begun is finished: asked again after a failure, it goes on.

    name
        The project's name.

    confirm
        The name again.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.destroy shop confirm=shop
    """
    with translated():
        guests = projects.guests_of(cloud.of(globals()), name)
    return operations.asked(globals(), "project.destroy", test, caller, name=name, confirm=confirm, guests=guests)


def push(
    name: str,
    guest: str | None = None,
    revision: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Deploy what was pushed to a project, on one or all of its guests, one after the other; the first failure ends it.

    name
        The project's name.

    guest
        The guest's name; not set: all that the project is placed on.

    revision
        Branch, tag or commit of the project's repository there; not set: what its branch names.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.push shop
    """
    return _asked("push", test, caller, name, guest, revision=revision)


def rollback(
    name: str, guest: str | None = None, release: str | None = None, test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Go back to a release that is kept, on one or all of the project's guests.

    name
        The project's name.

    guest
        The guest's name; not set: all that the project is placed on.

    release
        Id of the release; not set: the one that ran before.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.rollback shop guest=web1
    """
    return _asked("rollback", test, caller, name, guest, release=release)


def maintenance(
    name: str, on: bool, guest: str | None = None, reason: str = "", test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Answer every request to a project with its maintenance page, or let requests through again.

    name
        The project's name.

    on
        True closes, False opens.

    guest
        The guest's name; not set: all that the project is placed on.

    reason
        Why; for whoever asks how the project is.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.maintenance shop on=True reason="moving the database"
    """
    return _asked("maintenance", test, caller, name, guest, on=on, reason=reason)


def scale(
    name: str, counts: dict[str, int], guest: str | None = None, test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Run so many processes of a type on each guest, now and in later releases; no request is lost.

    name
        The project's name.

    counts
        How many by type: ``{web: 3, worker: 1}``.

    guest
        The guest's name; not set: all that the project is placed on.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.scale shop counts='{web: 3, worker: 1}'
    """
    return _asked("scale", test, caller, name, guest, counts=counts)


def restart(
    name: str,
    guest: str | None = None,
    type: str | None = None,  # noqa: A002 - what the guests' function calls it
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Replace the running processes by new ones of the same release; no request is lost.

    name
        The project's name.

    guest
        The guest's name; not set: all that the project is placed on.

    type
        The process type; not set: all.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.restart shop type=web
    """
    return _asked("restart", test, caller, name, guest, type=type)


def env_set(
    name: str,
    from_file: str,
    key: str | None = None,
    guest: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Set environment variables of a project's processes, on one or all of its guests, by a short deployment.

    Values are in no command line, journal, job or event: they are sealed for the master, and for each guest.

    name
        The project's name.

    from_file
        A file of ``NAME=value`` lines (``.env``) on this machine; ``-`` is standard input.

    key
        The whole content of ``from_file`` is the value of this one variable, but for a line feed at its end.

    guest
        The guest's name; not set: all that the project is placed on.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.env_set shop from_file=- < shop.env
    """
    with translated():
        given = dotenv.from_file(from_file, key)
        there = cloud.of(globals())
        sealed = sealing.seal(there.sealing.public(), applications.words(given), applications.purpose(name))
    return _asked("env_set", test, caller, name, guest, variables=sorted(given), sealed=sealed)


def env_unset(
    name: str, variables: list[str] | str, guest: str | None = None, test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Take back environment variables that ``env_set`` set, on one or all of the project's guests.

    name
        The project's name.

    variables
        Their names.

    guest
        The guest's name; not set: all that the project is placed on.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.env_unset shop variables='[SMTP_PASSWORD, SMTP_HOST]'
    """
    names = [variables] if isinstance(variables, str) else variables
    return _asked("env_unset", test, caller, name, guest, variables=names)


def _asked(verb: str, test: bool, caller: str | None, name: str, guest: str | None, **arguments: Any) -> dict[str, Any]:
    """Have something done to a project on one or all of its guests."""
    with translated():
        guests = projects.placed_on(cloud.of(globals()), name, guest)
    return operations.asked(globals(), f"project.{verb}", test, caller, name=name, guests=guests, **arguments)


def deployments(name: str, guest: str | None = None, limit: int = 20, refresh: bool = False) -> list[dict[str, Any]]:
    """
    Return how the deployments of a project went, newest first.

    name
        The project's name.

    guest
        Only those on this guest.

    limit
        At most so many.

    refresh
        Ask the guests first, for what they told while the controller did not listen.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.deployments shop limit=5
    """
    with translated():
        return projects.deployments(cloud.of(globals()), name, guest, limit, refresh)


def grant(
    name: str,
    owner: str,
    role: str = "deployer",
    email: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Give a person a role in a project. The keys of owners and deployers are let in wherever it is placed.

    name
        The project's name.

    owner
        Login name of the person.

    role
        ``owner``, ``deployer``, ``viewer`` or ``sysadmin``.

    email
        Mail address of a person who is not known yet, or has a new one.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.grant shop bob role=deployer email=bob@example.org
    """
    return operations.asked(globals(), "project.grant", test, caller, name=name, owner=owner, role=role, email=email)


def revoke(
    name: str, owner: str, role: str | None = None, test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Take a person's role in a project away, and with it what let their keys in.

    name
        The project's name.

    owner
        Login name of the person.

    role
        Not set: all of them.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.revoke shop bob
    """
    return operations.asked(globals(), "project.revoke", test, caller, name=name, owner=owner, role=role)


def list_() -> dict[str, Any]:
    """
    Return every project: on which guests it is, and whose.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.list
    """
    with translated():
        return projects.listed(cloud.of(globals()))


def infos(name: str) -> dict[str, Any]:
    """
    Return what the registry has of a project: its guests with the urls to push to, its roles, its settings.

    name
        The project's name.

    CLI Example:

    .. code-block:: bash

        salt-run mc_project.infos shop
    """
    with translated():
        return projects.infos(cloud.of(globals()), name)
