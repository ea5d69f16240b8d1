"""The pillar of a project: pushed, deployed, isolated from others; and its secrets stay in it."""

import json
from pathlib import Path

from tests.machine import Ended, Machine


def test_a_pushed_pillar_deploys_and_a_broken_one_hurts_nobody(machine: Machine) -> None:
    """It weighs more than PILLAR.sample; one that does not render is refused, and other projects do not notice."""
    port = machine.init("sick", document_root="public")["http_port"]
    tree = machine.work_tree(
        "sick",
        {
            ".salt/PILLAR.sample": "data: {word: from the sample, other: sample}\n",
            ".salt/reconfigure.sls": (
                "page:\n  file.managed:\n    - name: {{ cfg.project_root }}/public/index.html\n    - makedirs: true\n"
                "    - contents: {{ cfg.data.word }}, {{ cfg.data.other }}, {{ pillar['sick-own'] }}\n"
            ),
        },
    )
    pillar = machine.pillar_tree(
        "sick",
        {
            "init.sls": "include:\n  - .more\nmakina-projects.sick:\n  data: {word: from the pillar}\n",
            "more.sls": "sick-own: included\n",
        },
    )
    stored = pillar.push()
    assert stored.status == 0, stored.said
    assert "The pillar is stored; the first push to" in stored.errors
    assert tree.push().status == 0
    assert machine.page(port) == (200, "from the pillar, sample, included\n")

    first = pillar.branch()
    pillar.commit({"more.sls": "sick-own: changed\n"})
    pushed = pillar.push()  # deploys the application that runs, with the new pillar
    assert pushed.status == 0, pushed.said
    assert machine.page(port) == (200, "from the pillar, sample, changed\n")
    second = pillar.branch()
    assert second != first

    for broken in ("{% if %}", "a: [b\n", "include: [.none]\n", "makina-projects.sick: {domian: x}\n"):
        pillar.commit({"init.sls": broken})
        refused = pillar.push()
        assert refused.status != 0, refused.said
        assert "Traceback" not in refused.said
        assert "Unexpected" not in refused.said, refused.said
        assert pillar.branch() == second
    assert machine.page(port) == (200, "from the pillar, sample, changed\n")
    assert (machine.project("sick") / "pillar/more.sls").read_text() == "sick-own: changed\n"

    # whatever broke the clone itself: another project deploys, and the minion's pillar has the others
    (machine.project("sick") / "pillar/init.sls").write_text("{% if %}")
    machine.configure(ext_pillar=[{"mc_project": {}}])
    try:
        machine.init("well", installer="generic")
        machine.pillar_tree("well", {"init.sls": "well-own: yes indeed\n"}).push()
        pushed = machine.work_tree("well", {"index.html": "one"}).push()
        assert pushed.status == 0, pushed.said
        items = machine.ok("pillar.items")
        assert "well-own" in items  # Salt masks the values
        assert list(items["makina-projects-errors"]) == ["sick"]
        assert "_errors" not in items
    finally:
        machine.configure(ext_pillar=[])

    # and the push that mends it is taken
    failed = machine.call("mc_project.get_configuration", "sick")
    assert failed.status != 0
    assert "The pillar of 'sick' does not render" in failed.errors
    pillar.commit({"init.sls": "include: [.more]\nmakina-projects.sick: {data: {word: mended}}\n"})
    pushed = pillar.push()
    assert pushed.status == 0, pushed.said
    assert machine.page(port) == (200, "mended, sample, changed\n")


SECRETS = {
    "password": "pw-Ahz3ae7ohx",
    "greeting": "quiet Eish9ohk&ee<x>",  # no key gives it away, its looks do
    "database": "postgresql://app:url-pw-Oof4ahk9@db/app",
    "token": "12345678901",
    "keys": "-----BEGIN KEY-----\nline-One-Ieph7aer\nline-Two-aeV0ohsh\n-----END KEY-----",
}
NEEDLES = ("pw-Ahz3ae7ohx", "Eish9ohk", "url-pw-Oof4ahk9", "12345678901", "line-One-Ieph7aer", "line-Two-aeV0ohsh")
USES = """
page:
  file.managed:
    - name: {{ cfg.project_root }}/settings
    - contents: {{ cfg.data | json | json }}
plain:
  cmd.run:
    - name: printf '%s\\n' "$P" "$D"; cat settings
    - cwd: {{ cfg.project_root }}
    - env:
      - P: {{ pillar['outside-password'] }}
      - D: {{ cfg.data.database }}
argument:
  cmd.run:
    - name: echo {{ cfg.data.password }}
own:
  mc_project.command:
    - name: cat settings
    - env: {TOKEN: {{ cfg.data.token | json }}}
"""


def kept_by_corpus(machine: Machine, name: str) -> dict[Path, str]:
    """Every log, record and snapshot of a project."""
    own = machine.project(name) / ".corpus"
    paths = [*own.glob("log/*"), *own.glob("history/*"), own / "deployed.json"]
    paths += machine.project(name).glob("releases/*/*/log")
    paths += machine.project(name).glob("releases/*/*/manifest.json")
    paths += (machine.folder / "root/var/log").rglob("*")
    return {path: path.read_text(errors="replace") for path in paths if path.is_file()}


def test_secrets_stay_where_they_are(machine: Machine) -> None:
    """In file contents, commands and what those print; in success and in failure; on every way out."""
    machine.init("sealed", env={"API_KEY": "set-by-hand-Ku7phi"})
    pillar = machine.pillar_tree(
        "sealed",
        {"init.sls": f"makina-projects.sealed: {json.dumps({'data': SECRETS})}\noutside-password: outside-Eic4vei6\n"},
    )
    tree = machine.work_tree("sealed", {".salt/build.sls": USES})
    seen: list[Ended] = [pillar.push(), tree.push()]
    assert [ended.status for ended in seen] == [0, 0], seen[-1].said
    assert '"token"' in (machine.project("sealed") / "project/settings").read_text()  # it does get them
    assert "12345678901" in (machine.project("sealed") / "project/settings").read_text()

    failures = {
        "shell": "x:\n  cmd.run:\n    - name: cat settings; echo {{ cfg.data.password }} >&2; exit 4\n"
        "    - cwd: {{ cfg.project_root }}\n",
        "own": "x:\n  mc_project.command:\n    - name: sh -c 'cat settings; echo fatal {{ cfg.data.password }}; exit 4'\n",
        "yaml": "x: [{{ cfg.data.password }}\n",
        "jinja": "{% do none_such(cfg.data.password) %}{{ cfg.data.password.nope() }}\n",
    }
    for branch, body in failures.items():
        tree.git("checkout", "--quiet", "-b", branch, "main")
        tree.commit({".salt/reconfigure.sls": body})
    seen.append(tree.push(refs=" ".join(failures)))
    for branch in failures:
        seen.append(machine.call("mc_project.deploy_project", "sealed", revision=branch))
        assert seen[-1].status == 1, seen[-1].said
        if branch in ("shell", "own"):
            assert "**********" in seen[-1].answer["comment"], seen[-1].said
    seen.append(machine.call("mc_project.deploy_project", "sealed"))
    assert seen[-1].status == 0, seen[-1].said
    assert seen[-1].answer["changes"]["build"]
    for function in ("plan", "history", "log", "get_configuration", "status", "list_releases"):
        seen.append(machine.call(f"mc_project.{function}", "sealed"))
        assert seen[-1].status == 0, (function, seen[-1].said)
    seen.append(machine.call("mc_project.get_configuration", "sealed", explain=True))
    seen.append(machine.call("mc_project.init_project", "sealed", domain="sealed.example.org"))
    seen.append(machine.call("mc_project.set_configuration", "sealed", keep_archives=4))

    needles = (*NEEDLES, "outside-Eic4vei6", "set-by-hand-Ku7phi")
    for ended in seen:
        for needle in needles:
            assert needle not in ended.said
    kept = kept_by_corpus(machine, "sealed")
    assert len(kept) > 10
    leaks = {(str(path), needle) for path, text in kept.items() for needle in needles if needle in text}
    assert leaks == set()
    shown = machine.ok("mc_project.get_configuration", "sealed", unmask=True)
    assert shown["data"]["password"] == SECRETS["password"]
