"""Projects by the ``corpus`` command, on a guest whose minion really runs one."""

import threading
from pathlib import Path

import httpx
import pytest

from tests.client import CTRL_C, Laptop
from tests.integration.test_web_projects import Cloud, there

__all__ = ["there"]


@pytest.fixture
def laptop(there: Cloud, tmp_path: Path) -> Laptop:
    return Laptop(tmp_path, there.web.url)


def test_what_runs_is_told_and_changed(there: Cloud, laptop: Laptop) -> None:
    assert laptop.json("status", "prod", "shop")["guest"] == "web"
    assert laptop.ok("open", "prod", "shop").startswith("http://")
    assert laptop.ok("scale", "prod", "shop").startswith("web\t1\tRUNNING")
    laptop.ok("scale", "prod", "shop", "web=2")
    assert len(laptop.ok("scale", "prod", "shop").splitlines()) == 2
    laptop.ok("scale", "prod", "shop", "web=1")

    laptop.ok("maintenance", "prod", "shop", "on", "--reason", "moving")
    assert httpx.get(there.page, headers={"Host": "web.corpus.test"}).status_code == 503
    laptop.ok("maintenance", "prod", "shop", "off")
    assert "one" in there.shown()


def test_the_environment_is_set_and_no_value_is_told(there: Cloud, laptop: Laptop) -> None:
    file = laptop.home / "env"
    file.write_text("# of the shop\nGREETING='good morning'\n")
    done = laptop.corpus("env", "prod", "shop", "--from", str(file))
    assert done.status == 0, done.said
    assert "morning" not in done.said
    assert there.shown() == "one good morning"
    status, shown = laptop.typed("env", "prod", "shop", "GREETING", answers=("hush",))
    assert status == 0, shown
    assert "hush" not in shown
    assert there.shown() == "one hush"
    assert laptop.ok("env", "prod", "shop") == "GREETING\tno\n"
    laptop.ok("env", "prod", "shop", "--unset", "GREETING")
    assert there.shown() == "one -"


def test_deployments_can_be_looked_at_and_taken_back(there: Cloud, laptop: Laptop) -> None:
    assert "would start web" in laptop.ok("plan", "prod", "shop")
    there.pushed(VERSION="two")
    assert there.shown() == "two -"
    laptop.ok("rollback", "prod", "shop")
    assert there.shown() == "one -"
    last, *_ = laptop.json("deployments", "prod", "shop")
    assert (last["kind"], last["who"]) == ("rollback", "ada")
    assert [one["stage"] for one in laptop.json("deployments", "prod", "shop", last["deployment"])["stages"]]
    assert "Rolled back" in laptop.ok("logs", "prod", "shop", "--deployment", last["deployment"])
    assert len(laptop.json("releases", "prod", "shop")) >= 2
    assert laptop.json("stats", "prod", "shop")["rollbacks"] == 1


def test_logs_are_followed_until_one_has_seen_enough(there: Cloud, laptop: Laptop) -> None:
    there.shown()

    def ask() -> None:
        threading.Timer(1, lambda: httpx.get(f"{there.page}again", headers={"Host": "web.corpus.test"})).start()

    assert "asked for /" in laptop.ok("logs", "prod", "shop", "--type", "web")
    status, shown = laptop.typed(
        *("logs", "prod", "shop", "-n", "1", "--follow"), when={"asked for /": ask, "asked for /again": lambda: CTRL_C}
    )
    assert status == 130
    assert "asked for /again" in shown
