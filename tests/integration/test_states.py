"""Projects in a highstate, and what sls see: states, generated sls, installers, the live ``cfg``."""

import json
import textwrap
from typing import Any

from tests.machine import Ended, Machine, digests

STAGES = (
    *("deploy", "archive", "initialization", "release-sync", "configure", "build", "reconfigure", "activate"),
    *("upgrade", "bundle", "post_install", "rollback", "notification"),
)


def apply(machine: Machine, sls: str, *, test: bool = False) -> tuple[dict[str, Any], Ended]:
    """``state.apply`` an sls; return its states' results by id, and what salt-call left."""
    ended = machine.call("state.apply", sls, test=test)
    assert isinstance(ended.answer, dict), ended.said
    return {state["__id__"]: state for state in ended.answer.values()}, ended


def test_states_are_honest(machine: Machine) -> None:
    """``initialized`` and ``deployed`` tell under ``test=True`` what they do without, and rest when all is well."""
    carried = machine.folder / "srv/salt/carried.sls"

    def write(revision: str) -> None:
        carried.write_text(
            textwrap.dedent(
                f"""
                made:
                  mc_project.initialized:
                    - name: carried
                    - user: root
                    - installer: generic
                    - data: {{colour: red}}
                running:
                  mc_project.deployed:
                    - name: carried
                    - revision: {revision}
                    - configuration:
                        keep_archives: 2
                    - wait: 5
                """
            )
        )

    write("v1")
    states, ended = apply(machine, "carried", test=True)
    assert states["made"]["result"] is None
    assert states["made"]["changes"]
    assert not machine.project("carried").exists()

    states, ended = apply(machine, "carried")  # nothing was pushed yet
    assert states["made"]["result"] is True
    assert states["made"]["changes"]
    assert states["running"]["result"] is False
    assert ended.status != 0
    assert "push it first" in states["running"]["comment"]

    tree = machine.work_tree("carried", {"which": "one"})
    first = tree.git("rev-parse", "HEAD").output.strip()
    tree.git("tag", "v1")
    second = tree.commit({"which": "two"})
    pushed = tree.push("-o", "no-deploy", refs="HEAD:main")
    assert pushed.status == 0, pushed.said
    assert tree.push(refs="v1").status == 0

    before = digests(machine.project("carried"))
    states, ended = apply(machine, "carried", test=True)
    assert states["made"]["result"] is True
    assert states["running"]["result"] is None
    assert states["running"]["changes"]["revision"] == {"old": None, "new": first}
    assert states["running"]["changes"]["configuration"]["new"]["keep_archives"] == 2
    assert digests(machine.project("carried")) == before

    states, ended = apply(machine, "carried")
    assert ended.status == 0, ended.said
    assert states["running"]["changes"]["revision"] == {"old": None, "new": first}
    assert (machine.project("carried") / "project/which").read_text() == "one"

    states, ended = apply(machine, "carried")
    assert [(state["result"], state["changes"]) for state in states.values()] == [(True, {}), (True, {})]

    write(second)
    states, ended = apply(machine, "carried")
    assert states["running"]["changes"]["revision"] == {"old": first, "new": second}
    assert (machine.project("carried") / "project/which").read_text() == "two"


def test_top_and_standalone_of_a_project_and_its_stages(machine: Machine) -> None:
    """The generated ``top.sls`` and ``standalone.sls`` are applied as they are; a stage's sls says what to use."""
    machine.init("tops", installer="generic")
    tree = machine.work_tree("tops", {"which": "one"})
    assert tree.push("-o", "no-deploy").status == 0
    states, ended = apply(machine, "makina-projects.tops.standalone")
    assert ended.status == 0, ended.said
    assert (machine.project("tops") / "project/which").read_text() == "one"
    revision = tree.commit({"which": "two"})
    assert tree.push("-o", "no-deploy").status == 0
    states, ended = apply(machine, "makina-projects.tops.top")
    assert ended.status == 0, ended.said
    assert states["tops-initialized"]["changes"] == {}
    assert states["tops-deployed"]["changes"]["revision"]["new"] == revision
    assert (machine.project("tops") / "project/which").read_text() == "two"

    alone = machine.call("state.sls", ",".join(f"makina-projects.tops.{stage}" for stage in STAGES))
    assert alone.status != 0
    said = {state["__id__"]: state for state in alone.answer.values()}
    assert len(said) == len(STAGES)
    assert {state["result"] for state in said.values()} == {False}
    for stage, command in {
        "configure": "configure",
        "release-sync": "release_sync",
        "notification": "notify",
        "deploy": "deploy_project",
    }.items():
        state = said[f"makina-projects.tops.{stage}-is-a-stage"]
        assert f"cannot be run alone: use salt-call mc_project.{command} tops" in state["comment"]


def installer(marks: str, word: str) -> dict[str, str]:
    """The files of an installer that writes ``word`` when it configures."""
    files = {f"{stage}.sls": "# nothing\n" for stage in STAGES}
    files["configure.sls"] = (
        f"installer-mark:\n  file.managed:\n    - name: {marks}\n    - contents: {word} {{{{ cfg.data.taste }}}}\n"
    )
    files["defaults.yaml"] = "data: {taste: sweet}\n"
    return files


def test_installers_of_all_three_kinds(machine: Machine) -> None:
    """Official, by absolute path, inside ``.salt``; and one that is none of them, or lacks a stage, is refused."""
    mark = machine.folder / "installer-mark"
    outside = machine.folder / "outside-installer"
    outside.mkdir()
    for name, content in installer(str(mark), "outside").items():
        (outside / name).write_text(content)
    machine.init("kinds", installer=str(outside))
    own = installer(str(mark), "own")
    tree = machine.work_tree("kinds", {f".salt/ours/{name}": content for name, content in own.items()})
    tree.commit({"public/index.html": "page"})
    assert tree.push().status == 0
    assert mark.read_text().strip() == "outside sweet"

    report = machine.ok("mc_project.deploy_project", "kinds", installer="ours")
    assert report["result"] is True
    assert mark.read_text().strip() == "own sweet"

    mark.unlink()
    report = machine.ok("mc_project.deploy_project", "kinds", installer="static")  # official: needs public/
    assert [state["id"] for state in report["stages"]["configure"]["states"]] == ["kinds-document-root"]
    assert not mark.exists()

    for wrong, words in {
        "nowhere": "neither official (django, generic, ",
        "../../etc": "leads out of the project's .salt",
        "/nowhere": "there is no folder /nowhere",
    }.items():
        failed = machine.call("mc_project.deploy_project", "kinds", installer=wrong)
        assert failed.status == 1
        assert words in failed.answer["comment"]
    (outside / "bundle.sls").unlink()
    failed = machine.call("mc_project.deploy_project", "kinds")
    assert failed.status == 1
    assert "has no bundle.sls" in failed.answer["comment"]


def test_cfg_is_live(machine: Machine) -> None:
    """What configure puts into ``cfg`` is seen by later stages: in the sls, its includes, macros, and through opts."""
    told = machine.folder / "live"
    machine.init("live", data={"steady": "yes"})
    tree = machine.work_tree(
        "live",
        {
            ".salt/configure.sls": textwrap.dedent(
                """
                include: {{ cfg.sls_includes.configure | json }}
                {% do cfg.data.update(found='in configure') %}
                {% do cfg.update(domain='live.example.org') %}
                """
            ),
            ".salt/macros.jinja": "{% macro tell() %}{{ cfg.data.found }} {{ cfg.domain }}{% endmacro %}\n",
            ".salt/included.sls": textwrap.dedent(
                f"""
                included:
                  file.append:
                    - name: {told}
                    - text: "include: {{{{ cfg.data.found }}}} {{{{ cfg.data.steady }}}}"
                """
            ),
            ".salt/activate.sls": textwrap.dedent(
                f"""
                {{% from slspath ~ '/macros.jinja' import tell with context %}}
                include:
                  - .included
                  - {{{{ cfg.sls_includes.activate[0] }}}}
                activate:
                  file.append:
                    - name: {told}
                    - text:
                      - "sls: {{{{ cfg.data.found }}}}"
                      - "macro: {{{{ tell() }}}}"
                      - "opts: {{{{ opts.ms_project.data.found }}}}"
                """
            ),
        },
    )
    pushed = tree.push()
    assert pushed.status == 0, pushed.said
    assert sorted(told.read_text().splitlines()) == [
        "include: in configure yes",
        "macro: in configure live.example.org",
        "opts: in configure",
        "sls: in configure",
    ]
    snapshot = json.loads((machine.project("live") / ".corpus/deployed.json").read_text())
    assert snapshot["domain"] == "live.example.org"  # the snapshot is what ran
    assert "found" not in machine.ok("mc_project.get_configuration", "live")["data"]
