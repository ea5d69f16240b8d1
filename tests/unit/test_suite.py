"""What a test suite writes is read with care."""

from pathlib import Path
from typing import Any

import pytest
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.suite import Settings, Suite, read

CASES = b"""<?xml version="1.0"?>
<testsuites><testsuite name="outer"><testsuite name="inner">
<testcase classname="a.B" name="good" time="1,000.5"/>
<testcase classname="a.B" name="left out"><skipped/></testcase>
<testcase file="x.php" name="bad" time="nonsense"><failure type="E">first\nsecond</failure></testcase>
<testcase name="broken"><error message="no database&#10;more"/></testcase>
</testsuite></testsuite></testsuites>"""


def test_results_are_counted_and_failures_told() -> None:
    suite = Suite("make test", True, status=1)
    read(suite, CASES)
    assert (suite.passed, suite.skipped, suite.failed, suite.errors) == (1, 1, 1, 1)
    assert [(failure.name, failure.where, failure.message) for failure in suite.failures] == [
        ("bad", "x.php", "E"),
        ("broken", "", "no database"),
    ]
    assert suite.failures[0].excerpt == "first\nsecond"
    assert suite.slowest[0] == ("a.B good", 1000.5)
    assert suite.words == "1 failed, 1 with an error, 1 passed, 1 skipped"


def test_a_failed_test_counts_whatever_the_exit_status() -> None:
    suite = Suite("make test || true", True, status=0)
    assert (suite.good, suite.words) == (True, "passed")
    read(suite, CASES)
    assert not suite.good
    assert Suite("x", True, status=3).words == "failed with exit status 3"
    assert Suite("x", True).words == "not ended in time"


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (b'<!DOCTYPE t [<!ENTITY a "aaaa">]><testsuites>&a;</testsuites>', "entities"),
        (b'<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuites>&a;</testsuites>', "entities"),
        (b"<testsuites><testcase>", "not well-formed"),
        (b"\0\1", "not well-formed"),
        (b"", "not well-formed"),
        (b'<?xml version="1.0" encoding="nonsense"?><testsuites/>', "not well-formed"),
        (b"<html/>", "no JUnit XML"),
    ],
)
def test_what_is_no_junit_file_is_refused_in_words(xml: bytes, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        read(Suite("x", True), xml)


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ({"junit": "x.xml"}, "lacks the command"),
        ({"command": "x", "comand": "y"}, "there is no key 'comand'"),
        ({"command": ["x"]}, "command line"),
        ({"command": "x", "junit": "../x.xml"}, "inside of the tree"),
        ({"command": "x", "junit": ["/etc/passwd"]}, "inside of the tree"),
        ({"command": "x", "required": "no"}, "required is true or false"),
        ({"command": "x", "timeout": 0}, "timeout"),
        ({"command": "x", "env": {"A B": 1}}, "environment variables"),
    ],
)
def test_settings_that_cannot_be_are_refused(tests: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Settings.configured({"tests": tests, "timeout": 60})


def test_no_command_is_no_suite(tmp_path: Path) -> None:
    assert Settings.configured({"tests": {}, "timeout": 60}) is None
    settings = Settings.configured({"tests": {"command": "make", "env": {"N": 1}}, "timeout": 60})
    assert settings is not None
    assert (settings.required, settings.timeout, settings.junit, settings.env) == (True, 60.0, (), {"N": "1"})
