"""What people do by hand has a button."""

import pytest
from corpus.controller import operations
from corpus.errors import UsageError
from corpus.web.pages import actions
from corpus.web.pages.actions import ACTIONS

#: What has no button, and why.
WITHOUT = {
    "project.env_set": "has a form of its own: a value stands in no address",
    "compute_node.configure": "a mapping, written by the API or the command",
    "platform.configure": "a mapping, written by the API or the command",
    "machine.create": "asks for what each cloud calls its own: by the command",
    "machine.destroy": "as above",
}


def test_every_change_has_a_button_or_a_reason() -> None:
    made = {action.kind or name for name, action in ACTIONS.items()}
    tests_own = {kind for kind in operations.kinds() if kind.startswith("house.")}
    assert made | set(WITHOUT) == set(operations.kinds()) - tests_own
    assert made & set(WITHOUT) == set()


@pytest.mark.parametrize(("typed", "means"), [("web=3 worker=0", {"web": 3, "worker": 0}), ("web=1", {"web": 1})])
def test_numbers_of_processes_are_understood(typed: str, means: dict[str, int]) -> None:
    (field,) = ACTIONS["project.scale"].fields
    assert field.means(typed) == means


@pytest.mark.parametrize("typed", ["web", "web=many", "web=-1", "web=1.5"])
def test_other_words_are_told_to_be_none(typed: str) -> None:
    (field,) = ACTIONS["project.scale"].fields
    with pytest.raises(UsageError):
        field.means(typed)


def test_a_form_gives_what_it_asks_for_alone() -> None:
    fields = {"platform": "node1", "name": "shop", "size": "5G", "unprivileged": "", "settings": "x", "keys": "y"}
    given = actions._given(ACTIONS["guest.create"], fields)
    assert given == {"platform": "node1", "name": "shop", "size": "5G"}
