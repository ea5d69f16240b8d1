"""The registry of a project: sealed on disk, part of its environment, safe when two processes write it."""

import multiprocessing

import pytest
from corpus.errors import CorpusError
from corpus.project import configuration
from corpus.project.keeping import registry
from corpus.project.layout import Layout
from corpus.secrets import Redactor

URL = "postgresql://shop:n0t-f0r-you@/shop"


def fill(layout: Layout) -> None:
    with registry.changing(layout) as held:
        held["env"] = {"DATABASE_URL": URL, "PGUSER": "shop"}
        held["databases"] = {"main": {"password": "n0t-f0r-you", "port": 5432}}


def test_every_leaf_is_sealed(layout: Layout) -> None:
    fill(layout)
    written = layout.registry.read_text()
    assert "shop" not in written
    assert "5432" not in written
    assert layout.registry.stat().st_mode & 0o777 == 0o600
    assert registry.opened(layout)["databases"]["main"] == {"password": "n0t-f0r-you", "port": 5432}
    before = layout.registry.stat().st_mtime_ns
    fill(layout)
    assert layout.registry.stat().st_mtime_ns == before  # nothing changed, nothing written


def test_nothing_is_saved_when_the_change_fails(layout: Layout) -> None:
    fill(layout)

    def fail() -> None:
        with registry.changing(layout) as held:
            held.clear()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert registry.environment(layout)["PGUSER"] == "shop"


def test_its_environment_is_weaker_than_the_sample(layout: Layout) -> None:
    fill(layout)
    made = configuration.assemble(
        layout,
        grains={},
        pillar={},
        sample={"env": {"PGUSER": "mine"}},
        with_installer=False,
    )
    assert made.values["env"]["DATABASE_URL"] == URL
    assert made.values["env"]["PGUSER"] == "mine"
    assert made.sources["env.DATABASE_URL"] == "registry"


def test_its_secrets_are_known_and_its_names_are_none(layout: Layout) -> None:
    fill(layout)
    redactor = Redactor(registry.secret_texts(layout))
    assert redactor.text(f"shop says {URL}") == "shop says postgresql://shop:**********@/shop"


def test_a_lost_key_is_told(layout: Layout) -> None:
    fill(layout)
    layout.key.unlink()
    with pytest.raises(CorpusError, match="restore it from a backup"):
        registry.opened(layout)


def _count(layout: Layout, times: int) -> None:
    for _ in range(times):
        with registry.changing(layout) as held:
            held["count"] = held.get("count", 0) + 1


def test_two_processes_lose_nothing(layout: Layout) -> None:
    fill(layout)
    writers = [multiprocessing.get_context("fork").Process(target=_count, args=(layout, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert registry.opened(layout)["count"] == 60
