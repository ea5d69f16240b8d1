"""Killed anywhere: changes other than a plain deployment, and what a deployment makes outside of its project."""

import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.crashes import Driver, Shop, moments, shop_on
from tests.machine import Machine
from tests.servers import postgresql


def test_rollback_on_demand_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    assert shop.deploy("two")["answer"]["result"]
    told = shop.driver.do("mc_project.rollback", shop.name)
    assert told["answer"]["result"], told["answer"]["comment"]
    found = {}
    for moment in moments(told):
        before, after = shop.serving(), shop.other()
        died = shop.driver.do("mc_project.rollback", shop.name, die=moment)
        found[f"{moment} {told['records'][moment['record']]}"] = shop.survives(died, before, after)
    assert not {moment: words for moment, words in found.items() if words}


def test_deployment_with_services_stopped_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    """The maintenance page goes, and the tree comes back from the archive where it was moved to."""

    def deploy(version: str, **keywords: Any) -> dict[str, Any]:
        return shop.deploy(version, services_during_build="stop", upgrade_maintenance=True, **keywords)

    told = deploy(shop.other())
    assert {"stand still", "exchange project", "start", "commit"} <= set(told["records"])
    found = {}
    for number in range(told["records"].index("stage archive"), len(told["records"])):
        before, after = shop.serving(), shop.other()
        died = deploy(after, die={"record": number, "moment": "after"})
        found[f"{number} {told['records'][number]}"] = shop.survives(died, before, after, closing=True)
    assert not {moment: words for moment, words in found.items() if words}


def test_change_of_environment_killed_at_every_line_of_its_journal(shop: Shop) -> None:
    """The version stays; the saved environment is that of the release that runs, whichever that is."""

    def change(value: str, **keywords: Any) -> dict[str, Any]:
        return shop.driver.do("mc_project.env_set", shop.name, COLOUR=value, **keywords)

    told = change("0")
    assert {"begin", "settings", "stage copy", "exchange project", "commit"} <= set(told["records"])
    assert told["answer"]["result"], told["answer"]["comment"]
    found, now = {}, "0"
    for number, record in enumerate(told["records"]):
        version, wanted = shop.serving(), str(number + 1)
        died = change(wanted, die={"record": number, "moment": "after"})
        now = wanted if shop.committed() else now
        complaints = shop.survives(died, version, version)
        saved = shop.driver.do("mc_project.env_get", shop.name, "COLOUR", unmask=True)["answer"]
        specified = json.loads((shop.own / "processes" / f"{shop.running()}.json").read_text())
        if (saved, specified["env"]["COLOUR"]) != (now, now):
            complaints.append(f"{saved} is saved, processes have {specified['env']['COLOUR']}, and it should be {now}")
        found[f"{number} {record}"] = complaints
    assert not {moment: words for moment, words in found.items() if words}
    told = change("without", views=False)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert shop.complaints(shop.serving()) == [], "where no private view is possible, too"


def test_killed_around_the_making_of_a_database(machine: Machine, driver: Driver) -> None:
    """Whatever of role, database and registry is there already, the next deployment makes the rest, and it is ours."""
    ledger = shop_on(machine, driver, f"ledger{os.getpid()}")
    pattern = r" run psql| replace .*registry"
    with postgresql() as admin:

        def wish(number: int) -> None:
            name = f"ledger{os.getpid()}_{number}"
            wanted = {"type": "postgresql", "admin": admin, "name": name, "user": name}
            told = driver.do("mc_project.set_configuration", ledger.name, databases=[wanted])
            assert told["answer"]["result"], told

        wish(0)
        told = ledger.deploy("two")
        assert told["answer"]["result"], told
        steps = sum(bool(re.search(pattern, touch)) for touch in told["touches"])
        assert steps > 8, told["touches"]
        for number in range(steps):
            wish(number + 1)
            before, after = ledger.serving(), ledger.other()
            died = ledger.deploy(after, die={"touch": pattern, "spare": number})
            assert ledger.survives(died, before, after) == [], number
            told = ledger.deploy(after)
            assert told["answer"]["result"], (number, told["answer"]["comment"])
            assert ledger.complaints(after) == [], number
            told = driver.do("mc_project.get_configuration", ledger.name, unmask=True)
            url = told["answer"]["env"]["DATABASE_URL"]
            made = subprocess.run(
                ["psql", "-XAtqw", url, "-c", "CREATE TABLE one (n INT); SELECT current_database(), current_user"],
                capture_output=True,
                text=True,
                check=False,
            )
            name = f"ledger{os.getpid()}_{number + 1}"
            assert made.stdout.strip() == f"{name}|{name}", (number, made.stderr)
        told = driver.do("mc_project.destroy_project", ledger.name, confirm=ledger.name)
        assert told["answer"]["result"], told
        left = [
            "psql",
            "-XAtqw",
            "-d",
            "postgres",
            "-c",
            "SELECT datname FROM pg_database WHERE datname LIKE 'ledger%'",
        ]
        host, port = re.findall(r"(?:host|port)=([^&]+)", admin)
        as_admin = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env", f"PGHOST={host}"]
        listed = subprocess.run([*as_admin, f"PGPORT={port}", *left], capture_output=True, text=True, check=True)
        assert listed.stdout == ""


def test_killed_around_what_is_registered_with_cron(machine: Machine, driver: Driver) -> None:
    """Committed, a version's commands by the clock are there after the next call; those of a version before are not."""
    clock = shop_on(machine, driver, f"clock{os.getpid()}")
    places = [Path(f"/etc/{folder}/corpus-{clock.name}") for folder in ("cron.d", "logrotate.d")]
    for spare in range(2):
        jobs = {"cron": [{"schedule": f"{spare} 4 1 1 *", "command": "true"}], "logrotate": [f"log{spare}/*.log"]}
        for wanted in (jobs, {"cron": None, "logrotate": None}):
            told = driver.do("mc_project.set_configuration", clock.name, **wanted)
            assert told["answer"]["result"], told
            before, after = clock.serving(), clock.other()
            died = clock.deploy(after, die={"touch": f" (replace|unlink) .*corpus-{clock.name}", "spare": spare})
            assert clock.committed()
            assert clock.survives(died, before, after) == []
            assert [path.exists() for path in places] == [wanted is jobs] * 2, (wanted, spare)
            if wanted is jobs:
                assert f"{spare} 4 1 1 * root " in places[0].read_text()
    told = driver.do("mc_project.destroy_project", clock.name, confirm=clock.name)
    assert told["answer"]["result"], told


@pytest.fixture(scope="module")
def nobody() -> Iterator[Machine]:
    """A machine of somebody who is not root."""
    with tempfile.TemporaryDirectory(prefix="corpus-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        made = Machine(Path(folder) / "m")
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def their_driver(nobody: Machine) -> Iterator[Driver]:
    user = pwd.getpwnam("nobody")
    subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", str(nobody.folder)], check=True)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin",
        "HOME": str(nobody.folder),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LANG": "C.UTF-8",
    }
    made = Driver(nobody, (open_python(),), user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=environment)
    yield made
    made.close()


def open_python() -> str:
    """A Python of our version that others may run: ours may lie in root's home."""
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, system):
        if subprocess.run(["sudo", "-u", "nobody", python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    raise AssertionError(f"nobody may run {sys.executable}, and there is no {system}")


@pytest.mark.parametrize("views", [True, False], ids=["views", "no-views"])
def test_without_root(nobody: Machine, their_driver: Driver, views: bool) -> None:
    shop = shop_on(nobody, their_driver, "views" if views else "plain", user="nobody", views=views)
    told = shop.deploy("two", views=views)
    assert told["answer"]["result"], told["answer"]["comment"]
    assert ("exchanged before" in told["answer"]["stages"]["initialization"]["comment"]) is not views
    found = {"two": shop.complaints("two")}
    assert shop.deploy("bad", views=views)["answer"]["result"] is False
    found["bad"] = shop.complaints("two")
    steps = ("worker", "serve", "commit")
    for moment in ({"record": step, "moment": "after"} for step in steps):
        before, after = shop.serving(), shop.other()
        found[str(moment)] = shop.survives(shop.deploy(after, die=moment, views=views), before, after)
    assert not {moment: words for moment, words in found.items() if words}
