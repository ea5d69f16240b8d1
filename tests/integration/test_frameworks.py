"""Flask, Django, Node.js and PHP: no visitor is lost in a good deployment, one that fails, a change of the environment
and a rollback."""

import pytest

from tests import frameworks
from tests.asking import asking
from tests.machine import Machine


@pytest.mark.parametrize("name", frameworks.ALL)
def test_no_visitor_is_lost(machine: Machine, name: str) -> None:
    """What the application is, is found in its tree. A page every 10 ms, and slow pages under way all the time."""
    port = machine.init(name, healthcheck={"path": "/health", "timeout": 3})["http_port"]
    tree = machine.work_tree(name, {**frameworks.ALL[name], "VERSION": "one"})
    first = tree.push()
    assert first.status == 0, first.said
    installer = name.replace("flask", "python")
    assert f"auto: {installer}, because of" in first.errors
    with asking(port) as quick, asking(port, "/slow", every=0.25, visitors=8) as slow:
        tree.commit({"VERSION": "two"})
        good = tree.push()
        tree.commit({"VERSION": "ill"})
        bad = tree.push()
        machine.ok("mc_project.env_set", name, COLOUR="blue")
        machine.ok("mc_project.rollback", name)  # to the environment before
        machine.ok("mc_project.rollback", name, release=machine.releases(name)[-1]["release"])
    assert good.status == 0, good.said
    assert "/health answers 500" in bad.errors
    assert (quick.lost, slow.lost) == ([], [])
    assert quick.texts == ["one", "two", "one"]
    assert len(slow) > 8
