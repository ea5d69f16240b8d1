"""Which tree is which: undone and finished from every state in which a takeover can have died."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus import files
from corpus.errors import CorpusError
from corpus.project.keeping import trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.takeover import Takeover

OLD, NEW = "20260101T000000Z-00000001", "20260102T000000Z-00000002"
KINDS = ["project", "pillar"]


def place(layout: Layout, kind: str) -> Path:
    return layout.project if kind == "project" else layout.pillar


def aside(layout: Layout, kind: str, release: str) -> Path:
    return layout.tree(release) if kind == "project" else layout.pillar_tree(release)


def prepared(layout: Layout, old: str | None, new: str = NEW) -> Takeover:
    """The state before an exchange: the old trees in place, the new ones aside, each with its name in it."""
    for kind in KINDS:
        (place(layout, kind) / "name").write_text("old")
        tree = aside(layout, kind, new)
        tree.mkdir(parents=True)
        (tree / "name").write_text("new")
    if old:
        layout.release(old).mkdir(exist_ok=True)
        files.link(layout.current, old)
    return Takeover(layout, Journal.begin(layout, old=old, new=new), old, new)


def again(over: Takeover) -> Takeover:
    """The same takeover in another process, which knows what the journal says."""
    journal = Journal.left_behind(over.layout)
    assert journal is not None
    return Takeover(over.layout, journal, over.old, over.new)


def named(tree: Path) -> str | None:
    return (tree / "name").read_text() if (tree / "name").exists() else None


def exchange(over: Takeover) -> None:
    over.exchange_tree()
    over.exchange_pillar()


def state(layout: Layout) -> dict[str, str]:
    """What every tree of the project is called by, relative to the project."""
    found = {}
    for path in [layout.project, layout.pillar, *layout.deployed.glob("*/project"), *layout.deployed.glob("*/pillar")]:
        if path.is_dir() and not path.parent.is_symlink():
            found[str(path.relative_to(layout.folder))] = named(path) or "?"
    return found


BEFORE = {"project": "old", "pillar": "old"}
BEFORE_AND_NEW = {
    **BEFORE,
    f"releases/deployed/{NEW}/project": "new",
    f"releases/deployed/{NEW}/pillar": "new",
}
AFTER = {
    "project": "new",
    "pillar": "new",
    f"releases/deployed/{OLD}/project": "old",
    f"releases/deployed/{OLD}/pillar": "old",
}


def test_an_exchange_keeps_the_old_tree_whole_with_its_release(layout: Layout) -> None:
    over = prepared(layout, OLD)
    exchange(over)
    assert state(layout) == AFTER
    exchange(over)
    exchange(again(over))
    assert state(layout) == AFTER, "done once"


def test_a_first_deployment_has_no_old_release_to_keep(layout: Layout) -> None:
    over = prepared(layout, None)
    exchange(over)
    assert state(layout) == {"project": "new", "pillar": "new"}
    again(over).finish()
    assert state(layout) == {"project": "new", "pillar": "new"}
    assert layout.running() == NEW


def test_a_first_deployment_whose_push_git_refused_in_the_end_is_taken_back(layout: Layout) -> None:
    over = prepared(layout, None)
    exchange(over)
    again(over).finish()
    again(over).undo()
    assert (named(layout.project), named(layout.pillar)) == ("old", "old")
    assert layout.running() is None


def test_without_a_new_pillar_the_pillar_stays(layout: Layout) -> None:
    over = prepared(layout, OLD)
    trees.remove(layout.pillar_tree(NEW))
    exchange(over)
    assert named(layout.pillar) == "old"
    assert again(over).undo() == ["project/ exchanged back"]
    assert named(layout.pillar) == "old"


def test_finishing_names_the_new_release_current_and_may_be_done_again(layout: Layout) -> None:
    over = prepared(layout, OLD)
    exchange(over)
    over.finish()
    again(over).finish()
    assert layout.running() == NEW
    assert (layout.release(OLD) / ".retired").exists()
    assert state(layout) == AFTER


# A takeover can have died between any two of these steps. Each is done to the tree and to the pillar.


def record(over: Takeover, kind: str) -> None:
    over.journal.record(
        f"exchange {kind}",
        old=trees.identity(place(over.layout, kind)),
        new=trees.identity(aside(over.layout, kind, over.new)),
    )


def swap(over: Takeover, kind: str) -> None:
    files.exchange(place(over.layout, kind), aside(over.layout, kind, over.new))


def make_room(over: Takeover, kind: str) -> None:
    if over.old:
        trees.remove(aside(over.layout, kind, over.old))


def shelve(over: Takeover, kind: str) -> None:
    if over.old:
        aside(over.layout, kind, over.new).rename(aside(over.layout, kind, over.old))


def swap_back(over: Takeover, kind: str) -> None:
    """The first half of an undo that died, too."""
    other = aside(over.layout, kind, over.old or over.new)
    files.exchange(place(over.layout, kind), other)


STEPS = [record, swap, make_room, shelve, swap_back]
WAYS: list[tuple[int, int]] = [
    *((done, 0) for done in range(len(STEPS) + 1)),
    *((len(STEPS) - 1, done) for done in range(1, len(STEPS) + 1)),
]


@pytest.mark.parametrize("old", [OLD, None], ids=["with a release before", "first"])
@pytest.mark.parametrize("left_over", [False, True], ids=["clean", "with the rest of an older tree"])
@pytest.mark.parametrize(("tree_steps", "pillar_steps"), WAYS)
def test_undone_from_every_state(
    layout: Layout, old: str | None, left_over: bool, tree_steps: int, pillar_steps: int
) -> None:
    over = prepared(layout, old)
    if left_over and old:
        for kind in KINDS:
            aside(layout, kind, old).mkdir(parents=True)
            (aside(layout, kind, old) / "name").write_text("older")
    identities = {path: trees.identity(layout.folder / path) for path in BEFORE_AND_NEW}
    for kind, count in zip(KINDS, (tree_steps, pillar_steps), strict=True):
        for step in STEPS[:count]:
            step(over, kind)
    for _ in range(2):
        again(over).undo()
        assert {path: name for path, name in state(layout).items() if name != "older"} == BEFORE_AND_NEW
        assert {path: trees.identity(layout.folder / path) for path in BEFORE_AND_NEW} == identities


@pytest.mark.parametrize("steps", range(len(STEPS)))
def test_what_never_began_is_not_undone(layout: Layout, steps: int) -> None:
    over = prepared(layout, OLD)
    for step in STEPS[:steps]:
        step(over, "project")
    done = again(over).undo()
    assert ("project/ exchanged back" in done) == (steps > 0)
    assert "pillar/ exchanged back" not in done


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_tree_that_is_gone_is_said_and_nothing_is_touched(layout: Layout, kind: str) -> None:
    over = prepared(layout, OLD)
    exchange(over)
    aside(layout, kind, OLD).rename(layout.folder / "moved away")
    before = state(layout)
    with pytest.raises(CorpusError, match=rf"{place(layout, kind)} cannot be brought back: .*Its archive is under"):
        again(over).undo()
    if kind == "project":
        assert state(layout) == before


def test_a_rollback_is_the_same_exchange_backwards(layout: Layout) -> None:
    """The running release is newer than the one that comes."""
    over = prepared(layout, NEW, OLD)
    exchange(over)
    assert state(layout)["project"] == "new"
    assert named(layout.tree(NEW)) == "old"
    again(over).undo()
    assert named(layout.project) == "old"
    assert named(layout.tree(OLD)) == "new"


def test_a_failed_tree_goes_where_somebody_can_look_at_it(layout: Layout) -> None:
    over = prepared(layout, OLD)
    exchange(over)
    over.undo()
    log = layout.own / "log.txt"
    log.write_bytes(b"why \xff\n")
    for _ in range(2):
        folder = again(over).fail_away(log)
        assert folder == layout.failed / NEW
        assert named(folder / "project") == "new"
        assert (folder / "log").read_text() == "why \ufffd\n"
        assert not layout.release(NEW).exists()
    assert state(layout) == BEFORE


def crash(*arguments: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["exchange", "remove"])
def test_a_takeover_that_dies_in_the_real_thing_is_undone(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    over = prepared(layout, OLD)
    room = {"exchange": files, "remove": trees}[where]
    real: Callable[..., None] = getattr(room, where)
    monkeypatch.setattr(room, where, crash)
    with pytest.raises(KeyboardInterrupt):
        exchange(over)
    monkeypatch.setattr(room, where, real)
    again(over).undo()
    assert state(layout) == BEFORE_AND_NEW
