"""An installer that lies in the project's own ``.salt``: it goes where its tree goes, forward and back."""

import shutil

from tests.machine import CHECKOUT, Machine

_ENDS = "{name}:\n  test.succeed_with_changes:\n    - name: {name} by the installer of {version}\n"


def test_the_installer_of_the_tree_that_stands_is_run(machine: Machine) -> None:
    """After a failed switch, and after a rollback on demand, rollback and notify use what came back."""
    machine.init("owner", installer="own", document_root="public")
    tree = machine.clone("owner", machine.folder / "people/owner")
    shutil.copytree(CHECKOUT / "projects/2/static", tree.folder / ".salt/own")
    tree.git("init", "--quiet", "--initial-branch=main")

    def version(name: str, **more: str) -> dict[str, str]:
        ends = {f".salt/own/{sls}.sls": _ENDS.format(name=sls, version=name) for sls in ("rollback", "notification")}
        return {"public/index.html": name, **ends, **more}

    for name in ("first", "second"):
        tree.commit(version(name))
        pushed = tree.push()
        assert pushed.status == 0, pushed.said
    fails = "broken:\n  test.fail_without_changes:\n    - comment: not this one\n"
    tree.commit({**version("third"), ".salt/post_install.sls": fails})
    pushed = tree.push()
    assert pushed.status != 0
    for stage in ("rollback", "notify"):
        assert f"ok {stage}" in pushed.said, pushed.said
    log = machine.ok("mc_project.log", "owner", machine.ok("mc_project.history", "owner")[0]["deployment"])
    for sls in ("rollback", "notification"):
        assert f"{sls} by the installer of second" in str(log), log

    back = machine.ok("mc_project.rollback", "owner")
    assert {name: about["result"] for name, about in back["stages"].items()} == dict.fromkeys(back["stages"], True)
    log = machine.ok("mc_project.log", "owner", back["deployment"])
    for sls in ("rollback", "notification"):
        assert f"{sls} by the installer of first" in str(log), log


def test_a_first_deployment_that_fails_says_why_and_no_more(machine: Machine) -> None:
    """Nothing runs yet, and nothing has the installer of the tree that failed."""
    machine.init("newcomer", installer="own")
    tree = machine.clone("newcomer", machine.folder / "people/newcomer")
    shutil.copytree(CHECKOUT / "projects/2/generic", tree.folder / ".salt/own")
    tree.git("init", "--quiet", "--initial-branch=main")
    tree.commit({".salt/build.sls": "broken:\n  test.fail_without_changes:\n    - comment: not this one\n"})
    pushed = tree.push()
    assert pushed.status != 0
    assert "FAILED notify" not in pushed.said, pushed.said
    assert "FAILED rollback" not in pushed.said, pushed.said
