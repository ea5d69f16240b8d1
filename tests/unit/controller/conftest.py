"""What tests of the controller share: a registry, of each kind that there is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus.controller.registry.store import Registry

from tests.registries import Databases, databases, registry_at


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    with databases() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, postgres: Databases) -> Iterator[Registry]:
    """An empty registry, upgraded."""
    with registry_at(tmp_path, postgres.new(upgraded=True) if request.param == "postgresql" else None) as made:
        yield made
