"""Killed anywhere, a deployment leaves nothing that the next call does not repair, and what served serves again."""

import os
from pathlib import Path

import psutil
import pytest

from tests.integration.crashes import STRIDE, Driver, Shop, environments, moments, shop_on, some
from tests.machine import Machine


def test_deployment_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    told = shop.deploy(shop.other())
    assert {"begin", "stage archive", "exchange project", "serve", "commit"} <= set(told["records"])
    found = {}
    for moment in moments(told):
        before, after = shop.serving(), shop.other()
        died = shop.deploy(after, die=moment)
        found[f"{moment} {told['records'][moment['record']]}"] = shop.survives(died, before, after)
    assert not {moment: words for moment, words in found.items() if words}


def test_deployment_killed_between_the_lines(shop: Shop) -> None:
    touches = shop.deploy(shop.other())["touches"]
    found = {}
    for moment in some(touches):
        before, after = shop.serving(), shop.other()
        died = shop.deploy(after, die=moment)
        found[f"{moment} {touches[moment['touch']]}"] = shop.survives(died, before, after)
    assert not {moment: words for moment, words in found.items() if words}


@pytest.mark.parametrize("step", ["begin", "exchange project", "commit"])
def test_deployment_killed_while_it_writes_a_line(shop: Shop, step: str) -> None:
    before, after = shop.serving(), shop.other()
    died = shop.deploy(after, die={"record": step, "moment": "torn"})
    assert shop.survives(died, before, after) == []


def test_archive_killed_while_it_copies(shop: Shop) -> None:
    (shop.folder / "data/big").write_bytes(os.urandom(300_000))
    before, after = shop.serving(), shop.other()
    died = shop.deploy(after, die={"appears": f"{shop.folder}/archives/.making-*/data/.big.*", "slow": True})
    assert copying(shop), "rsync must outlive who started it, or this test shows nothing"
    assert shop.survives(died, before, after) == []
    assert not copying(shop)
    (shop.folder / "data/big").unlink()


def copying(shop: Shop) -> bool:
    """Whether an rsync writes into the project."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        info = process.info
        if info["name"] == "rsync" and info["status"] != psutil.STATUS_ZOMBIE:
            found += [word for word in info["cmdline"] or () if str(shop.folder) in word]
    return bool(found)


def test_commands_of_a_dead_deployment_are_gone(shop: Shop, hangs: Path) -> None:
    before = shop.serving()
    died = shop.deploy("hang", die={"appears": str(hangs)})
    deployment = shop.died()["deployment"]
    assert sum(entry.get("CORPUS_SESSION") == deployment for entry in environments()) >= 2
    assert shop.survives(died, before, "hang") == []


def test_failing_deployment_killed_in_its_rollback(shop: Shop) -> None:
    before = shop.serving()
    told = shop.deploy("bad")
    assert told["answer"]["result"] is False
    assert shop.complaints(before) == []
    assert (shop.folder / "releases/failed" / told["answer"]["deployment"] / "project/app.py").exists()
    late = told["records"].index("rollback")
    touches = [number for number, touch in enumerate(told["touches"]) if int(touch.split()[0]) > late]
    found = {}
    for moment in [*moments(told, "rollback"), *({"touch": number} for number in touches[::STRIDE])]:
        reloads = (shop.folder / "data/rollbacks").read_text().count("\n")
        died = shop.deploy("bad", die=moment)
        found[str(moment)] = shop.survives(died, before, "bad")
        if (shop.folder / "data/rollbacks").read_text().count("\n") == reloads:
            found[str(moment)].append("the rollback sls was not run")
    assert not {moment: words for moment, words in found.items() if words}


@pytest.mark.parametrize("step", ["serve", "commit"])
def test_repair_killed_is_repaired_by_the_next_call(shop: Shop, step: str) -> None:
    after = shop.other()
    shop.deploy(after, die={"record": step, "moment": "after"})
    touches = shop.next_call()["touches"]
    last = next(number for number, touch in enumerate(touches) if "unlink journal" in touch)
    found = {}
    for number in range(0, last + 1, STRIDE):
        before, after = shop.serving(), shop.other()
        shop.deploy(after, die={"record": step, "moment": "after"})
        died = shop.next_call(die={"touch": number})
        # At the very end the repair may be over already: a run can touch the machine once less than the one that was counted.
        over = after if step == "commit" and not shop.died() else before
        found[f"{number} {touches[number]}"] = shop.survives(died, over, after)
    assert not {moment: words for moment, words in found.items() if words}


def test_status_tells_and_a_deployment_repairs_on_its_way(shop: Shop) -> None:
    before, after = shop.serving(), shop.other()
    shop.deploy(after, die={"record": "serve", "moment": "after"})
    assert shop.driver.do("mc_project.status", shop.name)["answer"]["interrupted"] is True
    told = shop.deploy(before)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(before) == []
    assert shop.driver.do("mc_project.status", shop.name)["answer"]["interrupted"] is False


def test_first_deployment_killed(machine: Machine, driver: Driver) -> None:
    shop = shop_on(machine, driver, "first", deploy=False)
    for moment in ({"record": "stage", "moment": "before"}, {"record": "serve", "moment": "after"}):
        shop.deploy("one", die=moment)
        assert shop.next_call().get("error") is None
        assert not (shop.folder / "releases/deployed/current").exists()
        assert not (shop.folder / "project/VERSION").exists()
        assert shop.page()[0] == 0
    shop.deploy("one", die={"record": "commit", "moment": "after"})
    assert shop.next_call()["answer"]["result"]
    assert shop.complaints("one") == []
