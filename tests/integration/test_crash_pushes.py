"""Pushes whose hook, pusher or machine is gone: git refuses, or the next call repairs."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.asking import asking
from tests.integration.crashes import DRIVER, Shop, environments
from tests.machine import WorkTree, deadline

WAIT_SLS = """\
wait:
  cmd.run:
    - name: touch {{ cfg.data_root }}/hangs; while ! test -e {{ cfg.data_root }}/go; do sleep 0.1; done
"""


# git waits for the hook, and refuses when it dies


def killed_push(shop: Shop, die: dict[str, Any], *words: str, tree: WorkTree | None = None) -> None:
    """Push, with a hook that dies."""
    tree = tree or shop.tree
    job = shop.machine.folder / "push.json"
    job.write_text(json.dumps({"call": "mc_project.receive", "arguments": [shop.name, tree.repository], "die": die}))
    hook = tree.remote / "hooks/pre-receive"
    whole = hook.read_text()
    mortal = shlex.join([sys.executable, str(DRIVER), str(shop.machine.folder / "etc"), str(job)])
    hook.write_text(whole[: whole.rindex("} | ")] + "} | " + mortal + "\n")
    try:
        pushed = tree.push(*words)
    finally:
        hook.write_text(whole)
    assert pushed.status != 0, pushed.said
    assert shop.died(), pushed.said


@pytest.mark.parametrize("known", [False, True], ids=["new-objects", "known-objects"])
def test_push_killed_after_its_commit_was_never_accepted(shop: Shop, known: bool) -> None:
    before, after = shop.serving(), shop.other()
    revision = shop.tree.commit({"VERSION": "three"})
    shop.revisions["three"] = revision
    die: dict[str, Any] = {"record": "commit", "moment": "after"}
    if known:  # and later: the new release is named current already
        shop.tree.git(
            "push", "--quiet", str(shop.tree.remote), f"{shop.revisions[after]}:refs/heads/{after}", check=False
        )
        shop.tree.git("checkout", "--quiet", "-B", "main", shop.revisions[after])
        die = {"touch": "stopProcessGroup"}
    try:
        killed_push(shop, die, "--force")
    finally:
        shop.tree.git("checkout", "--quiet", "-B", "main", revision)
    assert shop.branch_is(before)
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints(before) == []


def test_pillar_push_killed_after_its_commit_was_never_accepted(shop: Shop) -> None:
    before = shop.serving()
    pillar = shop.machine.pillar_tree(shop.name, {"init.sls": "makina-projects.shop:\n  env:\n    COLOUR: red\n"})
    killed_push(shop, {"record": "commit", "moment": "after"}, tree=pillar)
    assert (shop.folder / "pillar/init.sls").exists()
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints(before) == []
    assert pillar.branch() == ""
    assert not (shop.folder / "pillar/init.sls").exists()
    assert not any(entry.get("COLOUR") == "red" and shop.mine(entry) for entry in environments())


@pytest.mark.parametrize("who", ["push", "receive-pack-asked", "receive-pack"])
def test_whoever_pushed_is_gone(shop: Shop, hangs: Path, who: str) -> None:
    """Without the pusher git may still accept; without its receiving end nothing may stay deployed."""
    before = shop.serving()
    shop.revisions[who] = shop.tree.commit({".salt/build.sls": WAIT_SLS, "VERSION": who})
    push = subprocess.Popen(
        ["git", "push", "--force", str(shop.tree.remote), "HEAD:main"],
        cwd=shop.tree.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in deadline(30):
        if hangs.exists():
            break
    if who == "push":
        push.kill()
    else:
        for process in psutil.Process(push.pid).children(recursive=True):
            if "receive-pack" in " ".join(process.cmdline()[:2]):
                process.send_signal(signal.SIGKILL if who == "receive-pack" else signal.SIGTERM)
    push.wait()
    hangs.with_name("go").touch()
    for _ in deadline(30):
        if not (shop.own / "journal").exists() and shop.branch_is(shop.serving()):
            break
    hangs.with_name("go").unlink()
    shop.tree.commit({".salt/build.sls": ""})
    if who == "push":
        assert shop.complaints(shop.serving()) == []
    else:
        assert shop.complaints(before) == []
        assert "is gone" in newest(shop)["comment"]


def test_push_whose_deployment_is_stopped_before_it_begins_is_not_accepted(shop: Shop) -> None:
    """Salt's commands end with status 0 when they are asked to stop while they start."""
    before = shop.serving()
    shop.tree.commit({"VERSION": "never"})
    push = subprocess.Popen(
        ["git", "push", "--force", str(shop.tree.remote), "HEAD:main"], cwd=shop.tree.folder, stderr=subprocess.DEVNULL
    )
    for _ in deadline(30, 0.005):
        salt = [process for process in psutil.Process(push.pid).children(recursive=True) if _catches_term(process)]
        if salt:
            break
    salt[0].terminate()
    assert push.wait(30) != 0
    assert shop.complaints(before) == []


def _catches_term(process: psutil.Process) -> bool:
    """Whether it is a salt-call that has a handler for SIGTERM already."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        return "salt-call" in " ".join(process.cmdline()) and bool(caught >> (signal.SIGTERM - 1) & 1)
    except (psutil.Error, OSError):
        return False


def test_nobody_who_asks_meets_a_gap(shop: Shop) -> None:
    with asking(shop.port, every=0.005, visitors=2) as answers:
        shop.deploy(shop.other())
        shop.deploy("bad")
        shop.driver.do("mc_project.rollback", shop.name)
        shop.deploy(shop.other(), die={"record": "serve", "moment": "after"})
        shop.next_call()
    assert len(answers) > 100
    assert answers.lost == []


def newest(shop: Shop) -> dict[str, Any]:
    return shop.record(max((shop.own / "history").glob("*.json"), key=lambda path: path.stat().st_mtime).stem)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_deployment_that_is_asked_to_stop_rolls_back(shop: Shop, hangs: Path, number: signal.Signals) -> None:
    before = shop.serving()
    called = shop.machine.begin("mc_project.deploy_project", shop.name, revision=shop.revisions["hang"])
    for _ in deadline(30):
        if hangs.exists():
            break
    called.send_signal(number)
    called.send_signal(number)  # impatience changes nothing
    said = called.communicate(timeout=60)
    assert called.returncode == 1, said
    assert shop.complaints(before) == []
    assert number.name in newest(shop)["comment"]


# a machine that was restarted


def power_cut(shop: Shop) -> None:
    """Kill everything that runs on the machine, at once."""
    nginx = int((shop.machine.projects / ".corpus/front/nginx.pid").read_text())
    for _ in deadline(10):  # nginx may be about to make workers
        doomed = [
            process for process in psutil.process_iter(["name", "cmdline", "status"]) if _on(shop, process, nginx)
        ]
        if not doomed:
            break
        for process in sorted(doomed, key=lambda one: "supervisord" not in " ".join(one.info["cmdline"])):
            process.kill()
    assert shop.page()[0] == 0


def _on(shop: Shop, process: psutil.Process, nginx: int) -> bool:
    """Whether a process belongs to the supervisor, the front or the project."""
    info = process.info
    if info["status"] == psutil.STATUS_ZOMBIE or not info["cmdline"]:
        return False
    try:
        if info["name"] == "nginx":
            return os.getpgid(process.pid) == nginx
        words = " ".join(info["cmdline"])
        return shop.mine(process.environ()) or ("supervisord" in words and str(shop.machine.folder) in words)
    except (psutil.Error, OSError):
        return False


def test_after_a_power_cut_status_tells_and_one_call_serves_again(shop: Shop) -> None:
    before = shop.serving()
    power_cut(shop)
    told = shop.driver.do("mc_project.status", shop.name)["answer"]
    assert told["processes"]["web.1"]["state"] == "MISSING"
    assert told["url"] is None
    told = shop.driver.do("mc_project.activate", shop.name)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(before) == []


def test_after_a_power_cut_a_deployment_serves(shop: Shop) -> None:
    after = shop.other()
    power_cut(shop)
    told = shop.deploy(after)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(after) == []


def test_after_a_power_cut_a_failing_deployment_brings_back_what_ran(shop: Shop) -> None:
    before = shop.serving()
    power_cut(shop)
    assert shop.deploy("bad")["answer"]["result"] is False
    assert shop.complaints(before) == []


def test_after_a_power_cut_a_rollback_serves(shop: Shop) -> None:
    after = shop.other()
    assert shop.deploy(after)["answer"]["result"]
    before = shop.other()
    assert shop.deploy(before)["answer"]["result"]
    power_cut(shop)
    assert shop.driver.do("mc_project.rollback", shop.name)["answer"]["result"]
    assert shop.complaints(after) == []


@pytest.mark.parametrize("step", ["start", "serve", "commit"])
def test_power_cut_in_a_deployment(shop: Shop, step: str) -> None:
    before, after = shop.serving(), shop.other()
    shop.deploy(after, die={"record": step, "moment": "after"})
    power_cut(shop)
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints(after if step == "commit" else before) == []


def test_supervisor_alone_killed(shop: Shop) -> None:
    """Its orphans hold the ports; they make room for their successors."""
    after = shop.other()
    pid = int((shop.machine.projects / ".corpus/supervisor/supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    told = shop.deploy(after)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(after) == []
