"""What files of a tree declare whatever its installer is: Procfile, app.json, .env."""

import json
from pathlib import Path

import pytest
from corpus.errors import ConfigurationError, CorpusError, UsageError
from corpus.project.found import app_json, declared, dotenv, procfile


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# nothing\n\n   \n", {}),
        ("web: gunicorn app:app\n", {"web": "gunicorn app:app"}),
        ("web:gunicorn", {"web": "gunicorn"}),
        (
            "  web  :  run --port $PORT: now  \r\n# comment\nworker-2: a 'b c'\nmail_out: x\n",
            {"web": "run --port $PORT: now", "worker-2": "a 'b c'", "mail_out": "x"},
        ),
        ("web: a\nweb: b", {"web": "b"}),
    ],
)
def test_procfiles(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    (tmp_path / "Procfile").write_text(text)
    assert procfile.read(tmp_path) == expected


def test_no_procfile(tmp_path: Path) -> None:
    assert procfile.read(tmp_path) == {}


@pytest.mark.parametrize(
    "line", ["web", "web:", "web:  ", ": gunicorn", "we b: x", "we/b: x", "../x: y", "[web]: x", "a.b: x"]
)
def test_a_line_that_is_none_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "Procfile").write_text(f"# first\nok: true\n{line}\n")
    with pytest.raises(CorpusError, match=r"Procfile, line 3: expected '<type>: <command>'"):
        procfile.read(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gunicorn app:app", "exec gunicorn app:app"),
        ("A=1 gunicorn --bind 0:$PORT", "exec env A=1 gunicorn --bind 0:$PORT"),
        ("cd server && npm start", "cd server && exec npm start"),
        ("a && B=2 b 2>&1", "a && exec env B=2 b 2>&1"),
        ("a | b", "a | b"),
        ("a; b", "a; b"),
        ("a || b && c", "a || b && c"),
        ("exec a", "exec a"),
        ("echo 'a && b'", "exec echo 'a && b'"),
        ("run $(nproc)", "run $(nproc)"),
        ("unclosed 'quote", "unclosed 'quote"),
    ],
)
def test_a_line_becomes_its_program_where_that_is_possible(line: str, expected: str) -> None:
    assert procfile.for_shell(line) == expected


APP = {
    "env": {
        "PLAIN": "x",
        "GIVEN": {"value": "{name}"},
        "KEY": {"generator": "secret"},
        "TOKEN": {"description": "of the shop"},
        "MAYBE": {"required": False},
        "PORT": "80",
    },
    "scripts": {"postdeploy": "seed", "dokku": {"predeploy": "before", "postdeploy": "after"}},
    "formation": {"web": {"quantity": 2, "size": "standard-1x"}, "clock": {"quantity": 3}},
    "healthchecks": {
        "web": [
            {"path": "/up", "content": "fine", "initialDelay": 3, "attempts": 4, "timeout": 2, "wait": 1, "port": 9}
        ]
    },
    "cron": [{"command": "tidy", "schedule": "@daily"}],
    "addons": ["heroku-postgresql:mini", {"plan": "papertrail"}],
    "buildpacks": [{"url": "heroku/python"}],
}


def test_app_json(tmp_path: Path) -> None:
    (tmp_path / "app.json").write_text(json.dumps(APP))
    values, notes = app_json.read(tmp_path, {"web": "x"})
    assert values == {
        "env": {"PLAIN": "x", "GIVEN": "{name}"},
        "required_env": ["TOKEN"],
        "secret_env": ["KEY"],
        "scripts": {"setup": "seed", "predeploy": "before", "postdeploy": "after"},
        "healthcheck": {"path": "/up", "contains": "fine", "timeout": 15, "wait": 3},
        "cron": [{"command": "tidy", "schedule": "@daily"}],
        "scale": {"web": 2},
    }
    for words in (
        "PORT is given",
        "size 'standard-1x'",
        "no clock",
        "wants a PostgreSQL",
        "'papertrail'",
        "buildpacks",
    ):
        assert any(words in note for note in notes), words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"env": {,}}', "app.json, line 1, column 10: it is no JSON"),
        ("[]", "must hold an object"),
        ('{"env": []}', "env must be an object"),
        ('{"env": {"A": []}}', "A must be a text or an object"),
        ('{"env": {"A": {"generator": "x"}}}', "no generator but 'secret'"),
        ('{"formation": {"web": {"quantity": -1}}}', "the quantity of web is a whole number"),
        ('{"cron": [{}]}', "each entry has a command and a schedule"),
        ('{"scripts": {"postdeploy": 1}}', "setup must be a command line"),
        ('{"healthchecks": {"web": {}}}', "web must be a list"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_an_app_json_that_cannot_be(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "app.json").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        app_json.read(tmp_path, {})
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# c\nexport A=1\nB='x # y'\nC=\"a\\nb\"\nD=${HOME}\nF=  z # no\r\n")
    assert dotenv.read(tmp_path, ".env") == {"A": "1", "B": "x # y", "C": "a\nb", "D": "${HOME}", "F": "z"}
    (tmp_path / ".env").write_text("A=1\n!!\n")
    with pytest.raises(UsageError, match=r"\.env: line 2 is not NAME=value"):
        dotenv.read(tmp_path, ".env")


def test_which_files_count_and_which_is_stronger(tmp_path: Path) -> None:
    for name in (".env.example", ".env.production", ".env", ".env.defaults"):
        (tmp_path / name).write_text(f"A={name}")
    (tmp_path / "Procfile").write_text("release: migrate\n")
    seen = declared.read(tmp_path)
    assert list(seen.values) == [".env.defaults", ".env", "Procfile"]
    assert not seen.processes  # a release process alone does not say what runs
