"""Environment variables: what is a name, what is a value, and what of them is hidden."""

import pytest
from corpus import dotenv
from corpus.errors import ConfigurationError, UsageError
from corpus.project import configuration, environment
from corpus.project.layout import Layout


@pytest.mark.parametrize(
    "name", ["PORT", "PATH", "HOME", "DATA_ROOT", "CORPUS_X", "1A", "A-B", "", "A=B", "Ä", "A\n", 7]
)
def test_names_that_are_refused(name: object) -> None:
    with pytest.raises(UsageError):
        dotenv.check_name(name)


def test_values_that_no_process_could_be_given() -> None:
    dotenv.check({"A": "ä" * 1000, "_b1": ""})
    for env, complaint in (
        ({"A": "a\0b"}, "NUL"),
        ({"A": "x" * 65537}, "64 KiB"),
        ({f"A{number}": "x" * 65000 for number in range(17)}, "1 MiB"),
        ({"A B": "x"}, "cannot name"),
    ):
        with pytest.raises(ConfigurationError, match=complaint):
            dotenv.check(env)


def test_values_are_kept_as_they_were_typed() -> None:
    parsed = {"A": True, "B": 7, "C": [1, 2], "D": "x", "E": None, "F": 1.5}
    assert environment.as_typed(["shop", "A=yes", "B=007", "D=a=b"], parsed) == {
        "A": "yes",
        "B": "007",
        "C": "[1, 2]",
        "D": "a=b",
        "E": "null",
        "F": "1.5",
    }


def test_a_file_of_variables() -> None:
    content = "# a comment\nA=1\nexport B='two\nlines'\nC=\"x $A\"\n\nD=\n"
    assert dotenv.parsed(content) == {"A": "1", "B": "two\nlines", "C": "x $A", "D": ""}
    with pytest.raises(UsageError, match="line 2 is not NAME=value"):
        dotenv.parsed("A=1\nwhat is this\n")


def test_a_password_that_is_a_word_is_hidden_too() -> None:
    env = {"LOGIN": "battery", "MODE": "production", "N": "8080", "ROOT": "/srv/data", "URL": "pg://u:pw1@h/db"}
    assert environment.secret_texts(env) == {"battery", "pw1"}


@pytest.mark.parametrize("value", ["{domain}", "{}domain}", "a {name} {{x}} {}", "{", "{}}}env}"])
def test_a_quoted_value_is_no_placeholder(value: str) -> None:
    assert configuration.unquoted(configuration.quoted(value)) == value


def test_every_value_of_the_environment_is_encrypted_where_it_is_saved(layout: Layout) -> None:
    settings = {"domain": "example.org", "env": {"A": configuration.quoted("{domain}"), "N": 7}}
    configuration.store_settings(layout, settings)
    saved = layout.settings.read_text()
    assert "example.org" in saved
    assert saved.count("encrypted:") == 2
    assert configuration.stored_settings(layout) == settings
    made = configuration.assemble(layout, grains={}, pillar={}, with_installer=False)
    assert made.values["env"] == {"A": "{domain}", "N": 7}
