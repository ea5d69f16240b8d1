"""
The registry
============

What the cloud is meant to be, in SQLite or PostgreSQL: upgraded, exported, imported, its key changed, and compared with the
world. Where it is says the key ``corpus`` of the master's configuration.
"""

# Whatever runner is called, Salt loads all of them: what knows databases is imported where it is needed.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.controller import cloud
from corpus.door import answered, translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_registry"
__func_alias__ = {"import_": "import"}


def __virtual__():
    return __virtualname__


def upgrade(test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Make the registry's tables those of this corpus. What is there stays.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{result, changed, revision}``

    CLI Example:

    .. code-block:: bash

        salt-run mc_registry.upgrade
    """
    from corpus.controller.registry import migrations

    with translated():
        registry = cloud.asked(globals(), "mc_registry.upgrade", caller).registry
        changed = registry.revision() != migrations.HEAD if test else registry.upgrade()
        return {"result": None if test and changed else True, "changed": changed, "revision": registry.revision()}


def export(path: str, passphrase_file: str | None = None) -> dict[str, int]:
    """
    Write the whole registry into one YAML file that only its owner may read.

    path
        Absolute path of the file.

    passphrase_file
        Path of a file with the passphrase that secrets are encrypted with. Without one they stay encrypted with the
        registry's key, and who imports the file needs that key.

    Returns: how many rows of each table

    CLI Example:

    .. code-block:: bash

        salt-run mc_registry.export /root/registry.yaml passphrase_file=/root/passphrase
    """
    from corpus.controller.registry import exchange

    with translated():
        return exchange.export(cloud.of(globals()).registry, Path(path), exchange.passphrase_in(passphrase_file))


def import_(
    path: str,
    passphrase_file: str | None = None,
    replace: bool = False,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, int]:
    """
    Fill the registry from a file that :py:func:`export` wrote: all of it, or nothing.

    path
        Path of the file.

    passphrase_file
        Path of a file with the passphrase that the file was made with.

    replace
        Whether to remove what the registry has. Without it, a registry that is not empty is refused.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: how many rows of each table

    CLI Example:

    .. code-block:: bash

        salt-run mc_registry.import /root/registry.yaml passphrase_file=/root/passphrase
    """
    from corpus.controller.registry import exchange

    with translated():
        registry = cloud.asked(globals(), "mc_registry.import", caller).registry
        if not test:
            registry.upgrade()
        passphrase = exchange.passphrase_in(passphrase_file)
        return exchange.import_(registry, Path(path), passphrase, replace is True, bool(test))


def rotate_key(test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Encrypt all credentials with a new key, and forget the old one.

    Interrupted, it leaves everything readable; call it again then.

    test
        Tell what would be done, and do nothing.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{result, credentials}``: how many were encrypted

    CLI Example:

    .. code-block:: bash

        salt-run mc_registry.rotate_key
    """
    from corpus.controller.credentials import Credentials

    with translated():
        registry = cloud.asked(globals(), "mc_registry.rotate_key", caller).registry
        kept = Credentials.of(registry)
        if test:
            return {"result": None, "credentials": kept.count(registry)}
        return {"result": True, "credentials": kept.rotate(registry)}


def check(fix: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Compare the registry with the world: containers and images of the nodes, their traffic, names in DNS, minions' keys, and
    the ssh keys that let in as root.

    fix
        Put right what can be: start and stop guests, settle traffic and names, let in ssh keys that are missing. What
        nobody asked for, such as a container that the registry does not know, is told and never removed.

    caller
        Whom a service of the controller asks for; root alone may say that.

    Returns: ``{result, retcode, comment, differences}``, each difference with ``kind``, ``subject``, ``message``, ``repairable`` and
    ``repaired``; ``result`` is False when something is left.

    CLI Example:

    .. code-block:: bash

        salt-run mc_registry.check fix=True
    """
    from corpus.controller import comparison
    from corpus.controller.world import World

    with translated():
        there = cloud.asked(globals(), f"mc_registry.check fix={fix is True}", caller)
        return answered(comparison.check(there.registry, World(there), fix is True), __context__)
