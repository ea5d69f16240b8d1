"""What is read from a file of variables."""

import pytest
from corpus.client.commands.projects import assignments
from corpus.client.errors import WrongUse


def test_variables_of_a_file() -> None:
    text = '# a comment\n\nexport A=1\nB = two words \nC=\'quoted = so\'\nD=""\nE=a"b\n'
    assert assignments(text) == {"A": "1", "B": "two words", "C": "quoted = so", "D": "", "E": 'a"b'}
    for wrong in ("A", "1A=x", "A-B=x", "=x"):
        with pytest.raises(WrongUse, match=r"^Line 1 is not such as NAME=VALUE\.$"):
            assignments(f"{wrong}\n")
