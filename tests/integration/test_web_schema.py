"""The API against its own description: whatever is sent to it, it answers as it says, and never fails by itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web import Web, web

#: Streams, and what would end the session that asks.
_LEFT_OUT = r"/(events|login|logout)$"
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("w")) as made:
        yield made


def fuzzed(there: Web, person: str, folder: Path, sysadmin: bool, *words: str) -> None:
    """Let Schemathesis send what the description allows, and what it does not."""
    token = there.person(person, sysadmin).headers["Authorization"]
    argv = [
        str(Path(sys.executable).parent / "st"),
        *("run", f"{there.url}/api/v1/openapi.json"),
        *("--header", f"Authorization: {token}", "--exclude-path-regex", _LEFT_OUT),
        *("--checks", ",".join(_CHECKS), "--seed", "1", "--no-shrink", "--continue-on-failure"),
        # More than one worker meets a defect of CPython 3.11: threads share the depth of its AST (gh-106905).
        *("--warnings", "off", "--no-color", "--request-timeout", "60", "--workers", "1", *words),
    ]
    ended = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120"}
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-2000:]


def test_an_ordinary_person_is_answered_as_described(there: Web, tmp_path: Path) -> None:
    fuzzed(there, "ada", tmp_path, False, "--phases", "examples,fuzzing", "--max-examples", "5")


def test_a_sysadmin_is_answered_as_described(there: Web, tmp_path: Path) -> None:
    fuzzed(there, "root1", tmp_path, True, "--phases", "examples,fuzzing", "--max-examples", "2")
