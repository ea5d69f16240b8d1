"""Editable mode: the tree is the developer's; corpus follows its origin and never overwrites work."""

from tests.machine import Machine


def test_the_tree_of_the_developer_is_left_alone(machine: Machine) -> None:
    machine.quick = True
    origin = machine.work_tree("mine", {"public/index.html": "first", ".salt/build.sls": "# nothing\n"})
    port = machine.init("mine", operation_mode="editable", url=f"file://{origin.folder}", document_root="public")[
        "http_port"
    ]
    project = machine.project("mine") / "project"
    assert (project / "public/index.html").read_text() == "first"

    report = machine.ok("mc_project.deploy_project", "mine")
    assert report["result"] is True
    assert {name for name, stage in report["stages"].items() if stage["result"] is None} == {
        "archive",
        "release_sync",
        "reconfigure",
        "bundle",
    }
    assert machine.page(port) == (200, "first")

    origin.commit({"public/index.html": "second"})  # a clean tree follows its origin
    machine.ok("mc_project.deploy_project", "mine")
    assert machine.page(port) == (200, "second")

    (project / "public/index.html").write_text("work in progress")  # what is not committed is not touched
    (project / "notes").write_text("mine")
    origin.commit({"public/index.html": "third", ".salt/build.sls": "broken: {test.fail_without_changes: []}\n"})
    machine.ok("mc_project.deploy_project", "mine")
    assert machine.page(port) == (200, "work in progress")

    pushed = origin.push()
    assert pushed.status == 0, pushed.said
    assert "in editable mode nothing deploys by itself" in pushed.errors
    assert machine.page(port) == (200, "work in progress")

    (project / ".salt/build.sls").write_text("broken: {test.fail_without_changes: []}\n")
    failed = machine.call("mc_project.deploy_project", "mine")
    assert failed.status == 1
    assert failed.answer["stages"]["rollback"]["result"] is None
    assert (project / "public/index.html").read_text() == "work in progress"
    assert (project / "notes").read_text() == "mine"
    assert machine.page(port) == (200, "work in progress")
