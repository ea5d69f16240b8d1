"""Procfiles, and what supervisor is told."""

from pathlib import Path

import pytest
from corpus.errors import CorpusError
from corpus.project.running.formation import procfile
from corpus.project.running.supervision import Program
from corpus.project.running.supervisord import configured


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
    assert procfile(tmp_path) == expected


def test_no_procfile(tmp_path: Path) -> None:
    assert procfile(tmp_path) == {}


@pytest.mark.parametrize(
    "line", ["web", "web:", "web:  ", ": gunicorn", "we b: x", "we/b: x", "../x: y", "[web]: x", "a.b: x"]
)
def test_a_line_that_is_none_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "Procfile").write_text(f"# first\nok: true\n{line}\n")
    with pytest.raises(CorpusError, match=r"Procfile, line 3: expected '<type>: <command>'"):
        procfile(tmp_path)


def test_percent_signs_reach_the_program() -> None:
    """In supervisor's configuration they introduce an expansion."""
    section = configured("demo.x", Program("web.1", ("/bin/sh", "-c", "exec date +%s 'a b'"), Path("/srv/100%/log")))
    assert "[program:demo.x@web.1]" in section
    assert "command=/bin/sh -c 'exec date +%%s '\"'\"'a b'\"'\"''\n" in section
    assert "stdout_logfile=/srv/100%%/log\n" in section
