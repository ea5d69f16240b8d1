"""Names that come from outside."""

import datetime
import subprocess

import pytest
from corpus import identifiers
from corpus.errors import UsageError

NEVER = [
    "",
    " ",
    "a b",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\0",
    "/",
    "/etc",
    "a/b",
    "..",
    ".",
    "../a",
    "a/../b",
    "a'b",
    'a"b',
    "a;b",
    "a$b",
    "a`b`",
    "{a}",
    "%s",
    "-a",
    "--help",
    "é",
    "naïve",
    "日本",
    "a\u202eb",
    "٣",
    "a" * 300,
    "a" * 10_000,
    None,
    True,
    1,
    1.5,
    b"a",
    ["a"],
    {"a": 1},
]


@pytest.mark.parametrize("name", ["a", "demo", "my-app", "my_app", "a1", "a-1_b", "a" * 31])
def test_project_names(name: str) -> None:
    assert identifiers.project_name(name) == name


@pytest.mark.parametrize("name", [*NEVER, "Demo", "1a", "_a", "a-", "a_", "a--b", "a-_b", "a.b", "a" * 32], ids=repr)
def test_what_cannot_name_a_project(name: object) -> None:
    with pytest.raises(UsageError, match="cannot name a project: use 1 to 31") as refused:
        identifiers.project_name(name)
    assert len(str(refused.value)) < 250
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["a", "a" * 58, "a" * 59, "a" * 300, "x'" * 10_000, "a'\"\n" * 99, "é" * 80, "\0" * 70]
)
def test_shown_is_quoted_and_short(text: str) -> None:
    shown = identifiers.shown(text)
    assert len(shown) <= 60
    assert shown[0] in "'\""
    assert "\n" not in shown
    assert len(text) <= 40 or shown.endswith(f"({len(text)} characters)") or shown == repr(text)


def test_release_ids_are_fresh_and_sort_by_time() -> None:
    early = datetime.datetime(2026, 1, 31, 12, 0, 0, tzinfo=datetime.timezone.utc)
    made = [identifiers.new_release_id(early + datetime.timedelta(seconds=seconds)) for seconds in (0, 1, 3600)]
    assert made == sorted(made)
    assert made[0].startswith("20260131T120000Z-")
    assert all(identifiers.release_id(one) == one for one in made)
    close = [identifiers.new_release_id(early + datetime.timedelta(microseconds=20 * turn)) for turn in range(100)]
    assert close == sorted(set(close))
    last = early + datetime.timedelta(microseconds=999_999)
    assert identifiers.release_id(identifiers.new_release_id(last)) > close[-1]


@pytest.mark.parametrize(
    "value",
    [
        *NEVER,
        "20260131T120000Z",
        "20260131T120000Z-1A2B3C4D",
        "20260131T120000Z-1a2b3c4d/..",
        "../20260131T120000Z-1a2b3c4d",
        "20260131T120000Z-1a2b3c4d\n",
        "\u0662\u0660\u0662\u0666\u0660\u0661\u0663\u0661T120000Z-1a2b3c4d",
        "current",
    ],
    ids=repr,
)
def test_what_is_no_release_id(value: object) -> None:
    with pytest.raises(UsageError, match="is not a release id"):
        identifiers.release_id(value)


@pytest.mark.parametrize("step", ["1", "a", "0001_entries", "Add-column", "x" * 100])
def test_upgrade_steps(step: str) -> None:
    assert identifiers.upgrade_step(step) == step


@pytest.mark.parametrize("step", [*NEVER, "_a", "a.b", "a.sls", "x" * 101], ids=repr)
def test_what_cannot_name_an_upgrade_step(step: object) -> None:
    with pytest.raises(UsageError, match="cannot name an upgrade step"):
        identifiers.upgrade_step(step)


BRANCHES = ["main", "a", "feature/x", "release-1.2", "v1+fix", "_x", "a.b/c.d", "x" * 200]


@pytest.mark.parametrize("branch", BRANCHES)
def test_branches(branch: str) -> None:
    assert identifiers.branch_name(branch) == branch
    assert git_accepts(branch)


@pytest.mark.parametrize(
    "branch",
    [
        *[name for name in NEVER if name != "a/b"],
        "a..b",
        "a//b",
        "/a",
        "a/",
        "a.",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "HEAD",
        "a@{1}",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "x" * 201,
    ],
    ids=repr,
)
def test_what_cannot_name_a_branch(branch: object) -> None:
    with pytest.raises(UsageError, match="cannot name a git branch"):
        identifiers.branch_name(branch)


def test_a_branch_name_that_we_accept_git_accepts() -> None:
    parts = ["a", ".", "..", "/", "-", "lock", ".lock", "+", "_", "HEAD", "@", "1"]
    candidates = {one + two + three for one in parts for two in ["", *parts] for three in ["", "a", ".lock", "/", "."]}
    accepted = []
    for name in candidates:
        try:
            accepted.append(identifiers.branch_name(name))
        except UsageError:
            continue
    checked = subprocess.run(
        ["sh", "-c", 'for name; do git check-ref-format --branch "$name" >/dev/null || exit 1; done', "-", *accepted],
        check=False,
        capture_output=True,
        text=True,
    )
    assert len(accepted) > 50
    assert checked.returncode == 0, checked.stderr


def git_accepts(branch: str) -> bool:
    return (
        subprocess.run(["git", "check-ref-format", "--branch", branch], check=False, capture_output=True).returncode
        == 0
    )


@pytest.mark.parametrize("value", ["0" * 40, "a" * 64, "0123456789abcdef0123456789abcdef01234567"])
def test_revisions(value: str) -> None:
    assert identifiers.is_revision(value)


@pytest.mark.parametrize("value", [*NEVER, "a" * 39, "a" * 41, "A" * 40, "g" * 40, "a" * 40 + "\n", "HEAD"], ids=repr)
def test_what_is_no_revision(value: object) -> None:
    assert not identifiers.is_revision(value)


def test_a_machine_is_not_called_like_the_uuid_of_another() -> None:
    assert identifiers.host_name("shop-2") == "shop-2"
    with pytest.raises(UsageError, match="stands for another one"):
        identifiers.host_name("1b4e28ba-2fa1-11d2-883f-0016d3cca427")
