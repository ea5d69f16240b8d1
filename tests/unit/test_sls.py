"""Salt's loader of states, as the runner of sls has it."""

from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
from corpus.project.sls import _hasten


@pytest.fixture
def states(tmp_path: Path) -> Any:
    opts = salt.config.minion_config(None)
    opts.update(file_client="local", root_dir=str(tmp_path), cachedir=str(tmp_path), grains={})
    functions = salt.loader.minion_mods(opts)
    made = salt.loader.states(opts, functions, salt.loader.utils(opts), salt.loader.serializers(opts))
    _hasten(made)
    return made


def test_what_a_module_does_not_have_is_not_looked_for_in_all_others(states: Any) -> None:
    assert "cmd.run" in states
    assert "cmd.mod_run_check" not in states
    assert "cmd.mod_watch" in states
    assert len(states.loaded_modules) < 5, sorted(states.loaded_modules)


def test_what_it_has_is_found(states: Any) -> None:
    assert "file.mod_run_check_cmd" in states  # of a module that is not loaded yet
    assert "test.nop" in states
