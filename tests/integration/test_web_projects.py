"""Projects by the API: a real master, a guest's minion on which a project is really deployed, and one that is silent."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from corpus.controller.registry import models
from sqlalchemy import select

from tests.deployed import GUEST, SILENT, WAITS, Cloud, deployed
from tests.machine import deadline

SECRET = "do-not-tell-4471"


@pytest.fixture(scope="module")
def there() -> Iterator[Cloud]:
    with deployed(("ada", "bob", "eve", "root1")) as made:
        yield made


def everything_kept(there: Cloud) -> str:
    """All that the registry, the job cache and the logs hold, as text."""
    folder = there.web.master.folder
    dump = "\n".join(sqlite3.connect(folder / "home/registry.sqlite3").iterdump())
    files = [path for path in (folder / "master").rglob("*") if path.is_file()]
    files += [folder / "master.out", there.web.log, *folder.glob(f"{GUEST}.out")]
    return dump + "".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def test_an_environment_is_set_and_its_values_are_kept_nowhere(there: Cloud) -> None:
    told = there.web.master.folder / "told.env"
    told.write_text(f"GREETING={SECRET}\n")
    done = there.web.master.ok("mc_project.env_set", "shop", from_file=str(told), guest="web")
    assert done["result"] is True, done
    assert there.shown() == f"one {SECRET}"
    found = there.web.master.ok("mc_controller.operations", operation=done["operation"])[0]
    assert SECRET not in json.dumps([done, found])
    assert SECRET not in everything_kept(there)
    with there.web.registry.reading() as session:
        row = session.scalars(select(models.Operation).where(models.Operation.uuid == done["operation"])).one()
        assert (row.arguments["variables"], row.arguments["sealed"]) == (["GREETING"], "")
    undone = there.web.master.ok("mc_project.env_unset", "shop", variables=["GREETING"])
    assert undone["facts"]["deployments"]["web"]
    assert there.shown() == "one -"


def test_a_project_is_seen_and_pushed_by_its_people_alone(there: Cloud) -> None:
    ada, eve = there.web.person("ada"), there.web.person("eve")
    (shop,) = ada.get("/projects").json()["items"]
    assert (shop["name"], shop["guests"]) == ("shop", ["web"])
    assert eve.get("/projects").json()["items"] == []
    found = ada.get("/projects/shop").json()
    assert found["roles"] == {"owner": ["ada"]}
    assert found["placements"][0]["project"].startswith(f"ssh://shop@{GUEST}:40001/")
    assert found["placements"][0]["names"] == [GUEST]
    assert ada.get("/projects/shop/remotes").json()[0]["pillar"].endswith("/git/pillar.git")
    strange = ("", "/remotes", "/status", "/deployments", "/statistics", "/env", "/logs", "/plan", "/releases")
    assert {eve.get(f"/projects/shop{path}").status_code for path in strange} == {404}
    assert eve.post("/projects/shop/push", json={}).status_code == 404
    assert eve.put("/projects/shop/env", json={"variables": {"A": "b"}}).status_code == 404
    # Whose name it is keeps it.
    taken = there.web.done(eve, eve.post("/projects", json={"name": "shop", "settings": {"installer": "static"}}))
    assert "is taken" in taken["comment"]
    assert eve.get("/projects/shop").status_code == 404
    made = there.web.done(eve, eve.post("/projects", json={"name": "blog"}))
    assert made["state"] == "done", made
    assert eve.get("/projects/blog").json()["roles"] == {"owner": ["eve"]}
    gone = there.web.done(eve, eve.delete("/projects/blog?confirm=blog"))
    assert gone["state"] == "done", gone
    assert eve.get("/projects/blog").status_code == 404


def test_a_push_is_followed_by_its_stages_and_kept_with_its_report(there: Cloud) -> None:
    ada = there.web.person("ada")
    last = ada.get("/projects/shop/deployments").json()["items"][0]
    answer = ada.post("/projects/shop/push", json={})
    done = there.web.done(ada, answer, 120)
    assert done["state"] == "done", done
    deployment = done["facts"]["deployments"]["web"]
    assert deployment != last["deployment"]
    found = ada.get(f"/projects/shop/deployments/{deployment}").json()
    assert (found["project"], found["guest"], found["result"], found["who"]) == ("shop", "web", True, "ada")
    stages = [stage["stage"] for stage in found["stages"] if stage["result"]]
    assert "switch" in stages
    told: list[models.Event] = []
    for _ in deadline(20, 0.2):
        with there.web.registry.reading() as session:
            wanted = select(models.Event).where(models.Event.project == "shop").order_by(models.Event.id)
            told = [one for one in session.scalars(wanted) if one.data["deployment"] == deployment]
        if told and told[-1].kind == "deployment.end":
            break
    assert told[0].kind == "deployment.begin"
    assert (told[0].data["who"], told[0].data["revision"]) == ("ada", found["revision"])
    begun = [one.data["stage"] for one in told if one.data.get("state") == "running"]
    assert [one for one in begun if one in told[0].data["stages"]] == told[0].data["stages"]

    report = ada.get(f"/projects/shop/deployments/{deployment}/report").json()
    assert report["report"]["deployment"] == deployment
    assert any("switch" in line for line in ada.get(f"/projects/shop/deployments/{deployment}/log").json()["lines"])
    assert ada.get("/projects/shop/deployments/20200101T000000Z-00000000").status_code == 404
    plan = ada.get("/projects/shop/plan").json()
    assert (plan["guest"], plan["plan"]["result"]) == ("web", True)
    assert ada.post("/projects/shop/push?plan=true", json={}).json()["steps"][0]["name"] == "deploy on web"


def test_deployments_are_listed_in_parts_and_counted(there: Cloud) -> None:
    ada = there.web.person("ada")
    all_of_them = ada.get("/projects/shop/deployments?limit=500").json()["items"]
    found, after = [], None
    while True:
        page = ada.get("/deployments", params={"limit": 1, **({"after": after} if after else {})}).json()
        found += page["items"]
        after = page["next"]
        if after is None:
            break
    assert found == all_of_them
    assert len(found) >= 2
    first = all_of_them[-1]
    assert ada.get("/projects/shop/deployments", params={"until": first["when"]}).json()["items"] == []
    assert ada.get("/deployments?guest=silent").json()["items"] == []
    assert ada.get("/deployments?result=false").json()["items"] == []
    assert ada.get("/deployments?after=nonsense").status_code == 422
    for path in ("/statistics?weeks=4", "/projects/shop/statistics?weeks=4&guest=web"):
        told = ada.get(path).json()
        deployed = [one for one in all_of_them if one["kind"] == "deploy"]
        assert (told["deployments"], told["complete"], len(told["weeks"])) == (len(deployed), True, 4)
        assert told["lead_time_seconds"] is None or told["lead_time_seconds"] >= 0
        assert told["change_failure_rate"] == 0.0
    assert there.web.person("eve").get("/statistics").json()["deployments"] == 0


def test_it_is_scaled_closed_restarted_and_rolled_back(there: Cloud) -> None:
    ada, web = there.web.person("ada"), there.web
    done = web.done(ada, ada.put("/projects/shop/scale", json={"counts": {"web": 2}}), 120)
    assert done["state"] == "done", done
    status = ada.get("/projects/shop/status").json()
    assert [one["type"] for one in status["processes"]] == ["web", "web"]
    assert ada.put("/projects/shop/scale", json={"counts": {"wait": 2}}).status_code == 422
    assert web.done(ada, ada.post("/projects/shop/restart", json={"type": "web"}), 120)["state"] == "done"

    closed = web.done(ada, ada.put("/projects/shop/maintenance", json={"reason": "a move"}))
    assert closed["state"] == "done", closed
    assert httpx.get(there.page, headers={"Host": GUEST}).status_code == 503
    assert web.done(ada, ada.delete("/projects/shop/maintenance"))["state"] == "done"
    assert there.shown().startswith("one")

    there.pushed(VERSION="two")
    assert there.shown().startswith("two")
    releases = ada.get("/projects/shop/releases").json()["releases"]
    former = next(one["release"] for one in releases if one["kept"] and not one["running"])
    back = web.done(ada, ada.post("/projects/shop/rollback", json={"release": former, "guest": "web"}), 120)
    assert back["state"] == "done", back
    assert there.shown().startswith("one")


def test_values_of_the_environment_come_in_by_the_api_and_are_shown_nowhere(there: Cloud) -> None:
    ada = there.web.person("ada")
    value = f" {SECRET}-by-the-api "
    key, body = {"Idempotency-Key": "again"}, {"variables": {"GREETING": value, "OTHER": ""}, "guest": "web"}
    answer = ada.put("/projects/shop/env", json=body, headers=key)
    again = ada.put("/projects/shop/env", json=body, headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (answer.json(), "true")
    body["variables"] = {"GREETING": "other", "OTHER": ""}
    assert ada.put("/projects/shop/env", json=body, headers=key).status_code == 422
    done = there.web.done(ada, answer, 120)
    assert done["state"] == "done", done
    assert there.shown() == f"one {value}"
    assert done["arguments"]["variables"] == ["GREETING", "OTHER"]
    assert done["arguments"]["sealed"] == ""
    names = {one["name"]: one["empty"] for one in ada.get("/projects/shop/env").json()["variables"]}
    assert (names["GREETING"], names["OTHER"]) == (False, True)
    refused = ada.put("/projects/shop/env", json={"variables": {"PORT": SECRET}})
    assert refused.status_code == 422
    assert SECRET not in everything_kept(there) + refused.text + answer.text
    done = there.web.done(ada, ada.delete("/projects/shop/env/GREETING"), 120)
    assert done["state"] == "done", done
    assert there.shown() == "one -"


def test_what_is_left_by_a_process_that_was_killed_is_settled(there: Cloud, tmp_path: Path) -> None:
    ada, web = there.web.person("ada"), there.web
    go = tmp_path / "go"
    tmp_path.chmod(0o755)
    go.touch()
    there.pushed(**{".salt/configure.sls": WAITS.format(go=go)})
    go.unlink()
    begun = select(models.Event).where(
        models.Event.kind == "deployment.begin", models.Event.data["who"].as_string() == "ada"
    )
    with web.registry.reading() as session:
        before = len(session.scalars(begun).all())
    answer = ada.post("/projects/shop/push", json={})
    try:
        for _ in deadline(60, 0.1):
            with web.registry.reading() as session:
                if len(session.scalars(begun).all()) > before:
                    break
        (pid,) = {
            json.loads(path.read_text())["pid"]
            for path in (web.master.folder / "home/locks").iterdir()
            if path.read_text()
        }
        os.kill(pid, signal.SIGKILL)
    finally:
        go.touch()
    settled = web.done(ada, answer)
    assert settled["state"] in ("done", "undone", "failed"), settled
    assert web.done(ada, ada.post("/projects/shop/push", json={}))["state"] == "done"
    there.pushed(**{".salt/configure.sls": "{}"})


def test_a_log_is_read_and_followed(there: Cloud) -> None:
    ada = there.web.person("ada")
    there.shown()
    assert "asked for /" in ada.get("/projects/shop/logs?type=web&lines=5").json()["lines"]
    assert ada.get("/projects/shop/logs?type=nonsense").status_code == 502
    with ada.stream("GET", "/projects/shop/logs?type=web&lines=1&follow=true") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        httpx.get(f"{there.page}look-for-this", headers={"Host": GUEST})
        assert next(line for line in lines if "look-for-this" in line) == 'data: {"line": "asked for /look-for-this"}'


def test_a_guest_that_does_not_answer_is_named(there: Cloud) -> None:
    with there.web.registry.session() as session:
        shop = session.scalars(select(models.Project)).one()
        guest = session.scalars(select(models.Guest).where(models.Guest.name == "silent")).one()
        session.add(models.Placement(project=shop, guest=guest))
    ada = there.web.person("ada")
    several = ada.get("/projects/shop/status")
    assert (several.status_code, "silent, web" in several.json()["detail"]) == (422, True)
    silent = ada.get("/projects/shop/status?guest=silent")
    assert (silent.status_code, SILENT in silent.json()["detail"]) == (504, True)
    with there.web.registry.session() as session:
        session.scalars(select(models.Guest).where(models.Guest.name == "silent")).one().state = "stopped"
    stopped = ada.get("/projects/shop/releases?guest=silent")
    assert (stopped.status_code, "silent is stopped" in stopped.json()["detail"]) == (504, True)
