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

from corpus.controller import cloud, operations, projects
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
    with translated():
        guests = projects.placed_on(cloud.of(globals()), name, guest)
    return operations.asked(globals(), "project.push", test, caller, name=name, guests=guests, revision=revision)


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
