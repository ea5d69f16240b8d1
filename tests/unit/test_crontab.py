"""Commands by the clock: which schedules cron understands, and what its file says."""

import pytest
from corpus.errors import ConfigurationError
from corpus.project import crontab
from corpus.project.layout import Layout


@pytest.mark.parametrize(
    "text", ["* * * * *", "*/5 0-6,22 1 jan-mar MON", "0 4 * * 1-5", "@daily", "59 23 31 12 7", "0 0-20/4 * * *"]
)
def test_schedules(text: str) -> None:
    assert crontab.schedule(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "5-1 * * * *",
        "*/0 * * * *",
        "* * * * * root",
        "@never",
        "* * * * *\n* * * * * root reboot",
        "a * * * *",
    ],
)
def test_what_is_no_schedule(text: object) -> None:
    with pytest.raises(ConfigurationError, match="cron"):
        crontab.schedule(text)


def test_nothing_of_a_command_is_read_by_the_shell(layout: Layout) -> None:
    hostile = "date +%F; echo 'x' $(id) | cat"
    written = crontab.text(layout, crontab.entries({"cron": [{"schedule": "@daily", "command": hostile}]}), ["call"])
    assert written.splitlines()[-1] == (
        "@daily root call 'command=date +\\%F; echo '\"'\"'x'\"'\"' $(id) | cat' 2>&1 | logger -t corpus-demo"
    )


@pytest.mark.parametrize("command", ["", " ", "a\nb", 5, "x" * 1000])
def test_what_is_no_command(command: object) -> None:
    with pytest.raises(ConfigurationError, match="is no command"):
        crontab.entries({"cron": [{"schedule": "@daily", "command": command}]})
