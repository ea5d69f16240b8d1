"""The command line by which one logs in to a guest."""

import pytest
from corpus.client.commands.guests import ssh_argv
from corpus.client.errors import ClientError, WrongUse

GUEST = {
    "name": "shop",
    "minion_id": "shop.corpus.test",
    "ssh_host": "192.0.2.1",
    "ssh_port": 40001,
    "state": "running",
}


def test_a_guest_is_known_by_its_name_wherever_it_is() -> None:
    alias = "HostKeyAlias=shop.corpus.test"
    assert ssh_argv(GUEST, "root", (), ()) == ["ssh", "-p", "40001", "-o", alias, "root@192.0.2.1"]
    assert ssh_argv(GUEST, "ada", ("-A",), ("ls", "-l")) == [
        *("ssh", "-p", "40001", "-o", alias, "-A", "ada@192.0.2.1"),
        *("ls", "-l"),
    ]


def test_there_may_be_no_way_in() -> None:
    with pytest.raises(ClientError, match="no ssh port"):
        ssh_argv({**GUEST, "ssh_port": None}, "root", (), ())
    with pytest.raises(WrongUse):
        ssh_argv(GUEST, "-oProxyCommand=x", (), ())
