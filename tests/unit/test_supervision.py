"""What supervisor is told."""

from pathlib import Path

import pytest
from corpus.project.layout import Layout
from corpus.project.running.supervision import Program, last_words
from corpus.project.running.supervisord import configured


def test_percent_signs_reach_the_program() -> None:
    """In supervisor's configuration they introduce an expansion."""
    section = configured("demo.x", Program("web.1", ("/bin/sh", "-c", "exec date +%s 'a b'"), Path("/srv/100%/log")))
    assert "[program:demo.x@web.1]" in section
    assert "command=/bin/sh -c 'exec date +%%s '\"'\"'a b'\"'\"''\n" in section
    assert "stdout_logfile=/srv/100%%/log\n" in section


GUNICORN = """\
[2026-01-31 12:00:00 +0000] [41] [INFO] Starting gunicorn 23.0.0
[2026-01-31 12:00:00 +0000] [41] [INFO] Listening at: http://127.0.0.1:5000 (41)
[2026-01-31 12:00:00 +0000] [42] [INFO] Booting worker with pid: 42
"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (GUNICORN, ""),
        (f"cannot reach the cache at cache:6379\n{GUNICORN}", "cannot reach the cache at cache:6379"),
        (
            (
                f"{GUNICORN}ModuleNotFoundError: No module named 'nonesuch'\n[2026-01-31 12:00:01 +0000] [42] [INFO] Worker exiting (pid: 42)\n"
                "[2026-01-31 12:00:01 +0000] [41] [ERROR] Reason: Worker failed to boot.\n"
            ),
            "ModuleNotFoundError: No module named 'nonesuch'",
        ),
        ("waiting for the license\nINFO:     Application startup complete.\n", "waiting for the license"),
        (
            "[31-Jan-2026 12:00:00] NOTICE: ready to handle connections\n[31-Jan-2026 12:00:00] ERROR: no\n",
            "[31-Jan-2026 12:00:00] ERROR: no",
        ),
    ],
    ids=["gunicorn-alone", "before-gunicorn", "traceback", "uvicorn", "php-fpm"],
)
def test_last_words_are_those_of_the_application(layout: Layout, said: str, words: str) -> None:
    layout.logs.mkdir(exist_ok=True)
    layout.log("web").write_text(f"RuntimeError: of the version before\n{said}")
    assert last_words(layout, "web", offset=len("RuntimeError: of the version before\n")) == words
