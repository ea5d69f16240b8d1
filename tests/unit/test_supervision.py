"""What supervisor is told."""

from pathlib import Path

from corpus.project.running.supervision import Program
from corpus.project.running.supervisord import configured


def test_percent_signs_reach_the_program() -> None:
    """In supervisor's configuration they introduce an expansion."""
    section = configured("demo.x", Program("web.1", ("/bin/sh", "-c", "exec date +%s 'a b'"), Path("/srv/100%/log")))
    assert "[program:demo.x@web.1]" in section
    assert "command=/bin/sh -c 'exec date +%%s '\"'\"'a b'\"'\"''\n" in section
    assert "stdout_logfile=/srv/100%%/log\n" in section
