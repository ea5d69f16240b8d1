"""
People
======

Who owns guests, platforms and projects, who deploys them, and the ssh keys that they come in with. A key is let in on the
guests that belong to its person, and in the projects that the person owns or deploys, wherever these are placed. A guest
that does not answer is a note of the report.

Functions that change something take ``test=True``: they tell what would be done, and do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.controller import cloud, operations, owners
from corpus.door import translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_owner"
__func_alias__ = {"list_": "list"}


def __virtual__():
    return __virtualname__


def create(
    name: str,
    email: str | None = None,
    keys: list[str] | str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a person known.

    name
        The login name.

    email
        Mail address.

    keys
        Public ssh keys, each one line as in ``~/.ssh/id_ed25519.pub``.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.create ada email=ada@example.org keys="['ssh-ed25519 AAAA… ada@laptop']"
    """
    lines = [keys] if isinstance(keys, str) else keys
    return operations.asked(globals(), "owner.create", test, caller, name=name, email=email, keys=lines)


def set_email(name: str, email: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Change a person's mail address.

    name
        The login name.

    email
        Mail address; not set: none.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.set_email ada ada@example.org
    """
    return operations.asked(globals(), "owner.set_email", test, caller, name=name, email=email)


def delete(name: str, confirm: str | None = None, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Forget a person, with keys and roles; refused as long as they own a platform or a guest, or a project alone.

    name
        The login name.

    confirm
        The login name again.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.delete ada confirm=ada
    """
    return operations.asked(globals(), "owner.delete", test, caller, name=name, confirm=confirm)


def add_key(
    name: str, public: str, label: str | None = None, test: bool = False, caller: str | None = None
) -> dict[str, Any]:
    """
    Let a person in with one more key.

    name
        The login name.

    public
        One line, as in ``~/.ssh/id_ed25519.pub``.

    label
        What the key is called; not set: its comment.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.add_key ada 'ssh-ed25519 AAAA… ada@laptop'
    """
    return operations.asked(globals(), "owner.add_key", test, caller, name=name, public=public, label=label)


def remove_key(name: str, key: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Let a person in with a key no more.

    name
        The login name.

    key
        Its fingerprint or its label (:py:func:`infos`), or the key itself; the whole key also when it was removed while a
        guest did not answer.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.remove_key ada ada@laptop
    """
    return operations.asked(globals(), "owner.remove_key", test, caller, name=name, key=key)


def grant(
    name: str,
    role: str,
    project: str | None = None,
    platform: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Give a person a role: in a project, on a platform, or everywhere. Owners and deployers are let in with their keys.

    name
        The login name.

    role
        ``sysadmin``, ``owner``, ``deployer`` or ``viewer``.

    project
        A project's name.

    platform
        A platform's uuid.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.grant bob deployer project=shop
    """
    with translated():
        kind, about = owners.aimed("grant", project, platform)
    return operations.asked(globals(), kind, test, caller, owner=name, role=role, **about)


def revoke(
    name: str,
    role: str | None = None,
    project: str | None = None,
    platform: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Take a role of a person away, and with it what let their keys in.

    name
        The login name.

    role
        Not set: all of them, in that project, on that platform, or everywhere.

    project
        A project's name.

    platform
        A platform's uuid.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.revoke bob project=shop
    """
    with translated():
        kind, about = owners.aimed("revoke", project, platform)
    return operations.asked(globals(), kind, test, caller, owner=name, role=role, **about)


def list_() -> dict[str, Any]:
    """
    Return everybody: mail address, how many keys and roles.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.list
    """
    with translated():
        return owners.listed(cloud.of(globals()))


def infos(name: str) -> dict[str, Any]:
    """
    Return what the registry has of a person: keys by fingerprint, roles, platforms, guests, projects.

    name
        The login name.

    CLI Example:

    .. code-block:: bash

        salt-run mc_owner.infos ada
    """
    with translated():
        return owners.infos(cloud.of(globals()), name)
