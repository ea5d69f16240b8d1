"""What unit tests share: the folders of a project that exist, without anything that runs."""

from pathlib import Path

import pytest
from corpus.project.layout import Layout, Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "projects", tmp_path / "salt", tmp_path / "pillar")


@pytest.fixture
def layout(roots: Roots) -> Layout:
    """A project's folders, empty."""
    made = Layout(roots, "demo")
    for folder in (
        made.git,
        made.project,
        made.pillar,
        made.data,
        made.build,
        made.deploy,
        made.archives,
        made.deployed,
        made.failed,
        made.own,
    ):
        folder.mkdir(parents=True)
    return made
