"""A push deploys, and a bad one never hurts what runs."""

from tests.machine import CHECKOUT, Machine

EXAMPLES = CHECKOUT / "examples"


def test_static_site_is_served_after_the_push(machine: Machine) -> None:
    settings = machine.init("pages", installer="static")
    tree = machine.work_tree("pages", like=EXAMPLES / "static")
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert "Deployed" in pushed.errors
    assert machine.page(settings["http_port"])[0] == 200
    tree.commit({"public/index.html": "<h1>second</h1>"})
    assert tree.push().status == 0
    assert machine.page(settings["http_port"])[1] == "<h1>second</h1>"
    assert tree.branch() == tree.git("rev-parse", "HEAD").output.strip()
