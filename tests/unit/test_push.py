"""What the hook hands over, and what a push does."""

import os
import subprocess
from pathlib import Path

import pytest
from corpus.errors import PushRefused
from corpus.project.git import hook, push
from corpus.project.git.push import Push, Update

REPOSITORY = Path("/srv/projects/demo/git/project.git")
ZERO, OLD, NEW = "0" * 40, "a" * 40, "b" * 40


@pytest.fixture(autouse=True)
def nobody_said_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORPUS_WHO", raising=False)


def test_everything_is_read() -> None:
    read = Push.read(
        REPOSITORY,
        [
            "who ada\n",
            "from 192.0.2.1\n",
            f"quarantine {REPOSITORY}/objects/tmp_objdir-incoming-aB3xYz\n",
            "option plan\n",
            f"update {OLD} {NEW} refs/heads/main\n",
            f"update {ZERO} {NEW} refs/tags/v1.0 with spaces",
        ],
    )
    assert read.who == "ada from 192.0.2.1"
    assert read.options == ("plan",)
    assert read.updates == (Update(OLD, NEW, "refs/heads/main"), Update(ZERO, NEW, "refs/tags/v1.0 with spaces"))
    assert f"{REPOSITORY}/objects/tmp_objdir-incoming-aB3xYz" in read.env.values()


def test_nothing_is_read() -> None:
    assert Push.read(REPOSITORY, []) == Push(REPOSITORY, "somebody")


def test_who_is_who_they_say_to_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS_WHO", "ada@example.org")
    assert Push.read(REPOSITORY, ["who git", "from 192.0.2.1"]).who == "ada@example.org from 192.0.2.1"


def test_who_is_printable_and_short() -> None:
    assert Push.read(REPOSITORY, ["who \x1b[31mada\x07", "from "]).who == "[31mada"
    assert len(Push.read(REPOSITORY, ["who " + "x" * 10_000]).who) == 120


@pytest.mark.parametrize("option", ["plan", "no-deploy"])
def test_options(option: str) -> None:
    assert Push.read(REPOSITORY, [f"option {option}"]).options == (option,)


@pytest.mark.parametrize("option", ["", "deploy", "Plan", "plan ", " plan", "--plan", "x" * 10_000, "$(id)", "é"])
def test_unknown_options_are_refused_and_the_known_named(option: str) -> None:
    with pytest.raises(PushRefused, match=r"There is no push option .*: use -o plan or -o no-deploy") as refused:
        Push.read(REPOSITORY, ["option plan", f"option {option}"])
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    "line",
    [
        "update",
        "update ",
        f"update {OLD}",
        f"update {OLD} {NEW}",
        f"update {OLD} x refs/heads/main",
        f"update HEAD {NEW} refs/heads/main",
        f"update {OLD}0 {NEW} refs/heads/main",
        f"update  {OLD} {NEW} refs/heads/main",
        f"update {OLD.upper()} {NEW} refs/heads/main",
        f"update --help {NEW} refs/heads/main",
    ],
)
def test_what_is_no_update(line: str) -> None:
    with pytest.raises(PushRefused, match="is no ref update"):
        Push.read(REPOSITORY, [line])


@pytest.mark.parametrize("line", ["", "\n", "what is this", "WHO ada", f"{OLD} {NEW} refs/heads/main"])
def test_a_hook_of_another_version_is_named(line: str) -> None:
    with pytest.raises(
        PushRefused, match=r"hook of .*project\.git is of another version: run mc_project\.init_project"
    ):
        Push.read(REPOSITORY, ["who ada", line])


@pytest.mark.parametrize(
    "place",
    [
        "/etc",
        "objects/incoming-abc",
        f"{REPOSITORY}",
        f"{REPOSITORY}/objects",
        f"{REPOSITORY}/objects/pack",
        f"{REPOSITORY}/objects/ab/incoming-abc",
        f"{REPOSITORY}/objects/incoming-",
        f"{REPOSITORY}/objects/incoming-a.b",
        f"{REPOSITORY}/objects/incoming-a:/etc",
        f"{REPOSITORY}/objects/incoming-abc/../../../x",
        f"{REPOSITORY}/objects/../../pillar.git/objects/incoming-abc",
        "/srv/projects/other/git/project.git/objects/incoming-abc",
        "x" * 10_000,
    ],
)
def test_only_a_folder_that_git_makes_is_a_quarantine(place: str) -> None:
    with pytest.raises(PushRefused, match="is no quarantine of"):
        Push.read(REPOSITORY, [f"quarantine {place}"])


@pytest.mark.parametrize("name", ["incoming-abc123", "tmp_objdir-incoming-aB3"])
def test_quarantines(name: str) -> None:
    assert Push.read(REPOSITORY, [f"quarantine {REPOSITORY}/objects/./{name}"]).env
    assert Push.read(REPOSITORY, ["quarantine "]).env == {}


def pushed(*updates: tuple[str, str, str]) -> Push:
    return Push.read(REPOSITORY, [f"update {old} {new} {ref}" for old, new, ref in updates])


def test_only_the_branch_deploys() -> None:
    several = pushed((OLD, NEW, "refs/heads/topic"), (OLD, NEW, "refs/heads/main"), (OLD, NEW, "refs/tags/main"))
    assert several.deploying("main") == Update(OLD, NEW, "refs/heads/main")
    assert several.deploying("topic") == Update(OLD, NEW, "refs/heads/topic")
    assert several.deploying("other") is None
    assert pushed((OLD, NEW, "refs/tags/main"), (OLD, NEW, "refs/heads/x/main")).deploying("main") is None
    assert pushed().deploying("main") is None


@pytest.mark.parametrize("zeros", ["0" * 40, "0" * 64])
def test_the_branch_that_deploys_is_not_deleted(zeros: str) -> None:
    with pytest.raises(PushRefused, match=r"The branch main names what runs and is not deleted by a push"):
        pushed((OLD, zeros, "refs/heads/main")).deploying("main")
    assert pushed((OLD, zeros, "refs/heads/topic")).deploying("main") is None


def test_the_pusher_is_told_what_is_only_stored() -> None:
    assert pushed((OLD, NEW, "refs/heads/main")).stored("main") == ""
    several = pushed((OLD, NEW, "refs/heads/a/b"), (OLD, NEW, "refs/heads/main"), (OLD, NEW, "refs/heads/c"))
    assert several.stored("main") == "a/b, c: stored. Only main deploys (git push REMOTE a/b:main)."
    assert pushed((OLD, ZERO, "refs/heads/gone")).stored("main") == ""


def test_gits_variables_are_taken_away_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/x")
    monkeypatch.setenv("GIT_QUARANTINE_PATH", "/x")
    monkeypatch.setenv("GITHUB", "stays")
    push.environment_cleared()
    assert not [name for name in os.environ if name.startswith("GIT_")]
    assert os.environ["GITHUB"] == "stays"


def test_the_hook_hands_over_what_read_takes(tmp_path: Path) -> None:
    """The real shell script, with what git gives a hook, and hostile options."""
    path = tmp_path / "hook"
    heard = tmp_path / "heard"
    path.write_text(hook.script("demo", "project", ["sh", "-c", f"cat > {heard}; echo {hook.ACCEPTED}"], sudo=False))
    hostile = f"$(touch {tmp_path}/pwned); `id` \"'\\n %s"
    subprocess.run(
        ["sh", str(path)],
        input=f"{OLD} {NEW} refs/heads/main\n{ZERO} {NEW} refs/heads/topic\n",
        capture_output=True,
        text=True,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22",
            "GIT_QUARANTINE_PATH": f"{REPOSITORY}/objects/incoming-abc",
            "GIT_PUSH_OPTION_COUNT": "2",
            "GIT_PUSH_OPTION_0": "plan",
            "GIT_PUSH_OPTION_1": hostile,
        },
    )
    lines = heard.read_text().splitlines()
    assert lines.pop(4) == f"option {hostile}"
    read = Push.read(REPOSITORY, lines)
    assert read.options == ("plan",)
    assert read.who.endswith(" from 192.0.2.1")
    assert [update.ref for update in read.updates] == ["refs/heads/main", "refs/heads/topic"]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("says", ["true", "echo ok", "echo accepted again", "false"])
def test_the_hook_accepts_only_what_was_said_to_be_accepted(tmp_path: Path, says: str) -> None:
    """Salt's commands end with status 0 when they are asked to stop while they start."""
    path = tmp_path / "hook"
    path.write_text(hook.script("demo", "project", ["sh", "-c", f"cat >/dev/null; {says}"], sudo=False))
    assert subprocess.run(["sh", str(path)], input="", text=True, check=False).returncode != 0
