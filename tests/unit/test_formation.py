"""How many processes of which type, with which ports, and what they may take."""

from pathlib import Path
from typing import Any

import pytest
from corpus.errors import ConfigurationError
from corpus.project.layout import Layout
from corpus.project.running import formation

RELEASE = "20260101T000000Z-00000001"


def cfg(**changes: Any) -> dict[str, Any]:
    base = {"processes": {"web": "a", "worker": "b"}, "scale": {}, "limits": {}, "env": {}, "drain": 5, "user": None}
    return {**base, "data_root": "/d", "paths": [], "project_root": "/p", **changes}


def test_each_web_process_has_a_port_of_its_own(layout: Layout) -> None:
    made = formation.specify(layout, RELEASE, cfg(scale={"web": 3, "worker": 0}), Path("/t"), True)
    assert sorted(made["processes"]) == ["web.1", "web.2", "web.3"]
    ports = formation.ports(layout, RELEASE)
    assert len(set(ports)) == 3
    assert sorted(int(process["env"]["PORT"]) for process in made["processes"].values()) == ports
    assert layout.processes(RELEASE).stat().st_mode & 0o777 == 0o600
    again = formation.with_new_ports(layout, RELEASE)
    assert len(set(formation.ports_of(again))) == 3


def test_added_processes_get_the_lowest_free_numbers(layout: Layout) -> None:
    made = formation.specify(layout, RELEASE, cfg(scale={"worker": 2}), Path("/t"), True)
    assert formation.add(made, "worker", 2, taken={"worker.4": {}}) == ["worker.3", "worker.5"]
    assert formation.of_type(made, "worker") == ["worker.1", "worker.2", "worker.3", "worker.5"]


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ({"wrok": 1}, "no process type 'wrok' .there: web, worker."),
        ({"web": -1}, "a whole number from 0 to 100, not '-1'"),
        ({"web": 10000}, "a whole number"),
        ({"web": True}, "a whole number"),
        ({"web": "3"}, "a whole number"),
    ],
)
def test_counts_that_cannot_be(layout: Layout, scale: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        formation.specify(layout, RELEASE, cfg(scale=scale), Path("/t"), True)


@pytest.mark.parametrize("kinds", [["mail-out", "mail_out"], ["access"], ["a b"], ["../x"]])
def test_types_that_cannot_be(layout: Layout, kinds: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="processes: "):
        formation.specify(layout, RELEASE, cfg(processes=dict.fromkeys(kinds, "x")), Path("/t"), True)


def test_limits_of_a_type_beat_those_of_all() -> None:
    given = cfg(limits={"memory": "512M", "cpu": "50%", "web": {"memory": "1G", "tasks": 20}})
    assert formation.limits(given, "web") == {"memory": 1 << 30, "cpu": 50.0, "tasks": 20}
    assert formation.limits(given, "worker") == {"memory": 512 << 20, "cpu": 50.0}


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memroy": "1G"}, "no key 'memroy': use memory, cpu, tasks"),
        ({"memory": "much"}, "512M or 2G, not 'much'"),
        ({"memory": -1}, "512M or 2G"),
        ({"web": {"cpu": "0%"}}, "50%, not '0%'"),
        ({"tasks": 1.5}, "tasks is a whole number"),
    ],
)
def test_limits_that_cannot_be(limits: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        formation.check_limits(limits)
