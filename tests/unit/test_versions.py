"""Which API version serves a project."""

from pathlib import Path
from typing import Any

import pytest
from corpus import files
from corpus.errors import UsageError
from corpus.project import versions
from corpus.project.layout import Layout, Roots

FUNCTIONS = [
    "mc_project.deploy_project",
    "mc_project_2.deploy_project",
    "mc_project_2.init_project",
    "mc_project_10.deploy_project",
    "mc_project_3.deploy_project",
    "mc_project_x.deploy_project",
    "xmc_project_4.deploy_project",
    "mc_project_5",
    "test.ping",
]


def test_every_loadable_module_counts() -> None:
    assert versions.loaded(FUNCTIONS) == [2, 3, 10]


@pytest.mark.parametrize(
    ("asked", "saved", "expected"),
    [(None, None, 2), (None, 3, 3), (10, None, 10), (10, 3, 10), (2, 3, 2)],
    ids=["default", "saved", "asked", "asked beats saved", "asked for the default"],
)
def test_asked_beats_saved_beats_default(layout: Layout, asked: int | None, saved: int | None, expected: int) -> None:
    files.write_json(layout.settings, {} if saved is None else {"api_version": saved})
    assert versions.serving(FUNCTIONS, layout.roots, "demo", asked) == expected


def test_a_project_that_does_not_exist_yet_gets_the_default(roots: Roots) -> None:
    assert versions.serving(FUNCTIONS, roots, "new", None) == 2
    assert versions.serving(FUNCTIONS, roots, None) == 2


@pytest.mark.parametrize("asked", [1, 0, -2, 99999, "2", "two", 2.0, True, [2], "x" * 10_000])
def test_an_unknown_version_lists_those_that_exist(layout: Layout, asked: Any) -> None:
    with pytest.raises(UsageError, match=r"There is no project API version .*: this machine has 2, 3, 10\.") as refused:
        versions.serving(FUNCTIONS, layout.roots, "demo", asked)
    assert len(str(refused.value)) < 200


def test_a_saved_version_whose_module_is_gone_is_named(layout: Layout) -> None:
    files.write_json(layout.settings, {"api_version": 7})
    with pytest.raises(UsageError, match="'7': this machine has 2, 3, 10"):
        versions.serving(FUNCTIONS, layout.roots, "demo")


@pytest.mark.parametrize("name", ["../demo", "", "Demo"])
def test_no_path_is_taken_for_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a project"):
        versions.serving(FUNCTIONS, Roots(tmp_path), name)
