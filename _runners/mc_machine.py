"""
Machines of public clouds
=========================

Makes machines in EC2 and OpenStack that :py:func:`mc_compute_node.init` can make compute nodes. The accounts stand in
the master's configuration::

    corpus_clouds:
      amazon:
        provider: ec2
        user: AKIA…                                    # the access key's id
        secret_file: /etc/corpus/amazon.secret         # 0600
        region: eu-west-1
        login: admin                                   # who logs in on machines of the images that you use
        security_groups: [sg-0123456789abcdef0]        # ids; they must let ssh, http and https in
        network: subnet-0123456789abcdef0              # not given: the default one
      stack:
        provider: openstack
        url: https://identity.example.org:5000
        user: corpus
        secret_file: /etc/corpus/stack.secret
        region: RegionOne
        project: corpus
        domain: Default
        network: public
        login: debian

Only machines that were made here are listed or destroyed: they bear the tag ``corpus``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corpus.controller import cloud, machines, operations
from corpus.door import translated

if TYPE_CHECKING:
    __opts__: dict[str, Any]
    __context__: dict[str, Any]

__virtualname__ = "mc_machine"
__func_alias__ = {"list_": "list"}


def __virtual__():
    return __virtualname__


def list_(account: str) -> dict[str, Any]:
    """
    List the machines that were made here: id, state, addresses.

    account
        Its name in ``corpus_clouds``.

    CLI Example:

    .. code-block:: bash

        salt-run mc_machine.list amazon
    """
    with translated():
        return machines.listed(cloud.of(globals()), account)


def create(
    account: str,
    name: str,
    image: str,
    size: str,
    user_data: str | None = None,
    test: bool = False,
    caller: str | None = None,
) -> dict[str, Any]:
    """
    Make a machine, and wait until it runs and has an address. One of that name that was made here is taken as it is.

    What is needed to make it a compute node is in ``facts``: ``address``, ``user``, ``identity``.

    account
        Its name in ``corpus_clouds``.

    name
        A label of a DNS name.

    image
        Id, or a name that only one image has.

    size
        Id or name.

    user_data
        For cloud-init on the machine.

    test
        Only tell what would be done.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_machine.create amazon node7 ami-0123456789abcdef0 m6i.large
        salt-run mc_compute_node.init 198.51.100.7 name=node7 user=admin identity=/srv/corpus/ssh/machines
    """
    return operations.asked(
        globals(),
        "machine.create",
        test,
        caller,
        account=account,
        name=name,
        image=image,
        size=size,
        user_data=user_data,
    )


def destroy(account: str, name: str, test: bool = False, caller: str | None = None) -> dict[str, Any]:
    """
    Destroy a machine that was made here. A compute node must be unlinked first.

    account
        Its name in ``corpus_clouds``.

    name
        As in :py:func:`mc_machine.create`.

    test
        Only tell what would be done.

    caller
        Whom a service of the controller asks for; root alone may say that.

    CLI Example:

    .. code-block:: bash

        salt-run mc_machine.destroy amazon node7
    """
    return operations.asked(globals(), "machine.destroy", test, caller, account=account, name=name)
