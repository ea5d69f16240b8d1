"""cfg: layers, placeholders, refusals, explanations."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import secrets
from corpus.errors import ConfigurationError, UsageError
from corpus.project import configuration, workflow
from corpus.project.configuration import Configuration, assemble
from corpus.project.keys import KEYS, Key
from corpus.project.layout import Layout

GRAINS = {"os": "Debian", "os_family": "Family", "ipv4": ["127.0.0.1", "192.0.2.7"]}
Part = dict[str, Any]
Given = dict[str, Part]


def made(layout: Layout, *, pillar: Part | None = None, grains: Part | None = None, **others: Any) -> Configuration:
    """Assemble the project's configuration; ``pillar`` and ``grains`` are its own part of them."""
    key = configuration.PREFIX + layout.name
    others.setdefault("settings", {})
    return assemble(layout, pillar={key: pillar or {}}, grains={**GRAINS, key: grains or {}}, **others)


@pytest.fixture
def own_installer(tmp_path: Path) -> Path:
    folder = tmp_path / "installer"
    folder.mkdir()
    for sls in workflow.SLS:
        (folder / f"{sls}.sls").touch()
    return folder


def below(*path: str) -> Callable[[Given, Part], None]:
    """A function that sets values at a place of what ``made`` is given."""

    def set_values(given: Given, values: Part) -> None:
        place = given
        for part in path:
            place = place.setdefault(part, {})
        place.update(values)

    return set_values


#: every layer, weakest first: its source, and how to put values there
LAYERS: list[tuple[str, Callable[[Given, Part], None]]] = [
    ("defaults", below("pillar", "defaults")),
    ("installer {installer}", below("installer")),
    ("env_defaults[staging]", below("pillar", "env_defaults", "staging")),
    ("os_defaults[Family]", below("pillar", "os_defaults", "Family")),
    ("os_defaults[Debian]", below("pillar", "os_defaults", "Debian")),
    (".salt/PILLAR.sample", below("sample")),
    ("pillar", below("pillar")),
    ("grains", below("grains")),
    ("saved settings", below("settings")),
    ("arguments", below("kwargs")),
]


def layered(layout: Layout, folder: Path, *parts: tuple[int, Part]) -> Configuration:
    """Assemble with values in some layers, by their number."""
    given: Given = {"kwargs": {"installer": str(folder)}}
    for number, values in parts:
        LAYERS[number][1](given, values)
    (folder / "defaults.yaml").write_text(yaml.safe_dump(given.pop("installer", {})))
    return made(layout, **given)  # type: ignore[arg-type]


def source(number: int, folder: Path) -> str:
    return LAYERS[number][0].format(installer=folder)


@pytest.mark.parametrize("layer", range(len(LAYERS)), ids=[name for name, _ in LAYERS])
def test_every_layer_beats_the_built_in_default(layout: Layout, own_installer: Path, layer: int) -> None:
    cfg = layered(layout, own_installer, (layer, {"drain": 7, "data": {"a": {"b": 1}}}))
    assert cfg.values["drain"] == 7
    assert cfg.sources["drain"] == cfg.sources["data.a.b"] == source(layer, own_installer)
    assert cfg.sources["timeout"] == "default"


@pytest.mark.parametrize(
    ("weak", "strong"),
    list(itertools.combinations(range(len(LAYERS)), 2)),
    ids=[f"{one}-{other}" for (one, _), (other, _) in itertools.combinations(LAYERS, 2)],
)
def test_every_layer_beats_the_weaker_ones(layout: Layout, own_installer: Path, weak: int, strong: int) -> None:
    cfg = layered(
        layout,
        own_installer,
        (weak, {"drain": 7, "groups": ["w", "w"], "data": {"same": {"key": "w"}, "weak": 1}}),
        (strong, {"drain": 8, "groups": ["s"], "data": {"same": {"key": "s"}, "strong": 2}}),
    )
    assert cfg.values["drain"] == 8
    assert cfg.values["groups"] == ["s"], "lists replace each other"
    assert cfg.values["data"] == {"same": {"key": "s"}, "weak": 1, "strong": 2}, "mappings merge"
    assert {key: cfg.sources[key] for key in ("drain", "data.same.key", "data.weak", "data.strong")} == {
        "drain": source(strong, own_installer),
        "data.same.key": source(strong, own_installer),
        "data.weak": source(weak, own_installer),
        "data.strong": source(strong, own_installer),
    }


@pytest.mark.parametrize("layer", range(len(LAYERS)), ids=[name for name, _ in LAYERS])
def test_null_unsets_what_weaker_layers_said(layout: Layout, own_installer: Path, layer: int) -> None:
    weaker = [(number, {"domain": "a.example.org", "keep_archives": 9, "data": {"x": 1}}) for number in range(layer)]
    cfg = layered(layout, own_installer, *weaker, (layer, {"domain": None, "keep_archives": None, "data": {"x": None}}))
    assert cfg.values["domain"] is None
    assert cfg.values["keep_archives"] == KEYS["keep_archives"].default
    assert cfg.values["data"] == {"x": None}
    assert cfg.sources["domain"] == source(layer, own_installer)


@pytest.mark.parametrize("key", [key for key in KEYS.values() if not key.fixed], ids=lambda key: key.name)
def test_null_is_the_default_of_every_key(layout: Layout, key: Key) -> None:
    assert made(layout, kwargs={key.name: None}).values == made(layout).values


def test_null_for_a_whole_mapping_clears_it(layout: Layout) -> None:
    assert made(layout, pillar={"env": {"A": "1"}}, settings={"env": None}).values["env"] == {}


def test_grains_and_pillar_may_be_nested_or_flat(layout: Layout) -> None:
    flat, nested = {"makina-projects.demo": {"drain": 7}}, {"makina-projects": {"demo": {"drain": 7}}}
    for tree in (flat, nested):
        assert assemble(layout, pillar=tree, grains=GRAINS, settings={}).values["drain"] == 7
        assert assemble(layout, pillar={}, grains={**GRAINS, **tree}, settings={}).values["drain"] == 7


def test_other_projects_do_not_matter(layout: Layout) -> None:
    pillar = {"makina-projects.other": {"drain": 7, "nonsense": 1}, "makina-projects": {"third": "text"}}
    assert assemble(layout, pillar=pillar, grains=GRAINS, settings={}).values["drain"] == 5


@pytest.mark.parametrize(
    ("mode", "environment"), [("editable", "dev"), ("cooking", "staging"), ("final", "prod"), (None, "staging")]
)
def test_environment_follows_the_mode(layout: Layout, mode: str | None, environment: str) -> None:
    each = {name: {"data": {"env": name}} for name in ("dev", "staging", "prod")}
    cfg = made(layout, pillar={"operation_mode": mode, "env_defaults": each})
    assert cfg.values["default_env"] == environment
    assert cfg.values["data"]["env"] == environment
    assert cfg.sources["default_env"] == "operation_mode"


def test_environment_that_is_set_wins(layout: Layout) -> None:
    each = {name: {"data": {"env": name}} for name in ("dev", "staging", "prod")}
    cfg = made(layout, pillar={"operation_mode": "final", "env_defaults": each}, grains={"default_env": "dev"})
    assert (cfg.values["default_env"], cfg.values["data"]["env"]) == ("dev", "dev")
    assert cfg.sources["default_env"] == "grains"


@pytest.mark.parametrize("layer", range(len(LAYERS)), ids=[name for name, _ in LAYERS])
def test_what_chooses_layers_may_stand_in_any_layer(layout: Layout, own_installer: Path, layer: int) -> None:
    """A mode or an installer that stands in the defaults chooses the environment and the stages, too."""
    (own_installer / "defaults.yaml").write_text("data: {installer: own}")
    if LAYERS[layer][0].startswith("installer"):
        values: Part = {"default_env": "staging", "data": {"installer": "own"}}
        cfg = layered(layout, own_installer, (layer, values))
    else:
        given: Given = {}
        LAYERS[layer][1](given, {"installer": str(own_installer), "default_env": "staging"})
        cfg = made(layout, **given)  # type: ignore[arg-type]
    assert cfg.values["installer"] == str(own_installer)
    assert cfg.installer == own_installer
    assert cfg.values["data"]["installer"] == "own"


@pytest.mark.parametrize("layer", ["defaults", "installer"])
def test_a_mode_from_below_chooses_the_environment(layout: Layout, own_installer: Path, layer: str) -> None:
    values: Part = {"operation_mode": "final"}
    pillar: Part = {"installer": str(own_installer), "env_defaults": {"prod": {"drain": 9}}}
    if layer == "defaults":
        pillar["defaults"] = values
    else:
        (own_installer / "defaults.yaml").write_text(yaml.safe_dump(values))
    cfg = made(layout, pillar=pillar)
    assert (cfg.values["operation_mode"], cfg.values["default_env"], cfg.values["drain"]) == ("final", "prod", 9)


def test_an_installer_brings_defaults_by_environment_and_system(layout: Layout, own_installer: Path) -> None:
    (own_installer / "defaults.yaml").write_text(
        "env_defaults: {staging: {drain: 8}}\nos_defaults: {Debian: {timeout: 9}}\n"
    )
    cfg = made(layout, kwargs={"installer": str(own_installer)})
    assert (cfg.values["drain"], cfg.values["timeout"]) == (8, 9)


@pytest.mark.parametrize("values", [{"installer": "static"}, {"api_version": 3}])
def test_an_installer_cannot_choose_another(layout: Layout, own_installer: Path, values: Part) -> None:
    (own_installer / "defaults.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigurationError, match="an installer cannot choose another"):
        made(layout, pillar={"defaults": {"installer": str(own_installer)}})


def test_without_its_installer_a_configuration_can_still_be_read(layout: Layout) -> None:
    cfg = made(layout, kwargs={"installer": "nonesuch"}, with_installer=False)
    assert cfg.values["installer"] == "nonesuch"
    with pytest.raises(ConfigurationError, match="'nonesuch' is neither official"):
        made(layout, kwargs={"installer": "nonesuch"})


# placeholders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name}", "demo"),
        ("{name}-{name}", "demo-demo"),
        ("{drain}", 5),
        ("<{drain}>", "<5>"),
        ("{archive_data}", True),
        ("{groups}", ["a", "b"]),
        ("{env}", {"A": "demo"}),
        ("{domain}", None),
        ("<{domain}>", "<>"),
        ("{data_root}/x", "{project_dir}/data/x"),
        ("{user}:{group}", "demo:demo"),
        ("{nonesuch}", "{nonesuch}"),
        ("{nonesuch}/{name}", "{nonesuch}/demo"),
        ("{}", "{}"),
        ("{ name }", "{ name }"),
        ("{Name}", "{Name}"),
        ("{name", "{name"),
        ("%(name)s $name ${PORT}", "%(name)s $name ${PORT}"),
        ("awk '{print $1}'", "awk '{print $1}'"),
        ('{"json": 1}', '{"json": 1}'),
    ],
)
def test_placeholders(layout: Layout, text: str, expected: Any) -> None:
    if isinstance(expected, str):
        expected = expected.replace("{project_dir}", str(layout.folder))
    cfg = made(
        layout, pillar={"groups": ["a", "b"], "env": {"A": "{name}"}, "data": {"x": text, "deep": [{"y": text}]}}
    )
    assert cfg.values["data"]["x"] == expected
    assert type(cfg.values["data"]["x"]) is type(expected)
    assert cfg.values["data"]["deep"] == [{"y": expected}]


@pytest.mark.parametrize(
    "values",
    [
        {"user": "{user}"},
        {"user": "{group}", "group": "{user}"},
        {"user": "a{domain}", "domain": "{group}", "group": "{user}"},
        {"data": {"x": "{data}"}},
        {"groups": ["{groups}"]},
        {"env": {"A": "{data}"}, "data": {"a": {"b": "{env}"}}},
    ],
)
def test_placeholders_that_lead_back_are_named(layout: Layout, values: Part) -> None:
    with pytest.raises(ConfigurationError, match=r"the placeholder \{\w+\} leads back to itself"):
        made(layout, pillar=values)


def test_a_placeholder_may_stand_for_another_type_and_is_checked_then(layout: Layout) -> None:
    assert made(layout, pillar={"keep_archives": "{keep_releases}"}).values["keep_archives"] == 5
    with pytest.raises(ConfigurationError, match="keep_archives is a whole number, not 'demo'"):
        made(layout, pillar={"keep_archives": "{name}"})


@pytest.mark.parametrize(
    "values", [{"installer": "{name}"}, {"api_version": "{drain}"}, {"env_defaults": "{data}"}, {"defaults": "{data}"}]
)
def test_what_chooses_layers_takes_no_placeholder(layout: Layout, values: Part) -> None:
    with pytest.raises(ConfigurationError):
        made(layout, pillar=values)


# refusals

PLACES = {
    ".salt/PILLAR.sample": "sample",
    "pillar makina-projects.demo": "pillar",
    "grain makina-projects.demo": "grains",
    "the saved settings": "settings",
    "the arguments": "kwargs",
}
INNER = {
    "defaults": lambda values: {"defaults": values},
    "env_defaults[staging]": lambda values: {"env_defaults": {"staging": values}},
    "env_defaults[prod]": lambda values: {"env_defaults": {"prod": values}},
    "os_defaults[Debian]": lambda values: {"os_defaults": {"Debian": values}},
    "os_defaults[Plan9]": lambda values: {"os_defaults": {"Plan9": values}},
}


@pytest.mark.parametrize("where", [*PLACES, *INNER])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"instaler": "static"}, "there is no key 'instaler': did you mean 'installer'?"),
        ({"drain": "soon"}, "drain is a number of seconds, not 'soon' (str)"),
        ({"project_root": "/"}, "project_root is computed by corpus and cannot be set"),
    ],
    ids=["unknown", "type", "fixed"],
)
def test_every_place_is_checked_and_named(layout: Layout, where: str, values: Any, message: str) -> None:
    given = {PLACES[where]: values} if where in PLACES else {"pillar": INNER[where](values)}
    with pytest.raises(ConfigurationError) as refused:
        made(layout, **given)
    assert where in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize("where", [*PLACES, *list(INNER)[1:]])
@pytest.mark.parametrize("values", [["a", "b"], "text", 5, True], ids=repr)
def test_what_is_no_mapping_is_named(layout: Layout, where: str, values: Any) -> None:
    given = {PLACES[where]: values} if where in PLACES else {"pillar": INNER[where](values)}
    with pytest.raises(ConfigurationError) as refused:
        made(layout, **given)
    assert f"{where} must be a mapping of configuration keys, not" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("instaler", "installer"),
        ("operation-mode", "operation_mode"),
        ("Domain", "domain"),
        ("keep_archive", "keep_archives"),
        ("skip_archiv", "skip_archive"),
        ("release_artifact_urls", "release_artifacts_urls"),
        ("timeouts", "timeout"),
    ],
)
def test_the_nearest_key_is_named(layout: Layout, key: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=f"did you mean '{nearest}'"):
        made(layout, kwargs={key: 1})


@pytest.mark.parametrize("key", ["", "zzzzzz", "日本", "a" * 10_000, 5, None, ("a",)], ids=lambda key: repr(key)[:20])
def test_a_key_that_is_near_to_none_is_sent_to_data(layout: Layout, key: Any) -> None:
    with pytest.raises(ConfigurationError, match="own settings go under 'data'") as refused:
        made(layout, pillar={key: 1})
    assert len(str(refused.value)) < 250


WRONG: dict[str, list[Any]] = {
    "text": [1, 1.5, True, ["a"], {"a": 1}, b"a"],
    "yes or no": ["yes", "true", 1, 0, [], {}],
    "whole number": ["5", 5.0, True, [5], {}, -1],
    "seconds": ["5", True, [5], -1, -0.5, float("inf"), float("nan")],
    "list": [1, {"a": 1}, True],
    "mapping": ["a", 1, ["a"], True],
    "list or mapping": [1, True],
}
RIGHT: dict[str, list[Any]] = {
    "text": ["a", ""],
    "yes or no": [True, False],
    "whole number": [2],
    "seconds": [2, 2.5, 0],
    "list": [[], ["a"]],
    "mapping": [{}],
    "list or mapping": [[], ["a"], {}, {"Debian": ["a"]}],
}
CHOSEN = {
    "watch",
    "installer",
    "services_during_build",
    "operation_mode",
    "default_env",
    "project_branch",
    "pillar_branch",
}


@pytest.mark.parametrize("key", [key for key in KEYS.values() if not key.fixed], ids=lambda key: key.name)
def test_types(layout: Layout, key: Key) -> None:
    for value in WRONG[key.kind]:
        with pytest.raises(ConfigurationError, match=key.name):
            made(layout, pillar={key.name: value})
    for value in RIGHT[key.kind] if key.name not in CHOSEN else []:
        assert made(layout, pillar={key.name: value}).values[key.name] == value


@pytest.mark.parametrize("key", [key.name for key in KEYS.values() if key.fixed])
def test_what_corpus_computes_cannot_be_set(layout: Layout, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{key} is computed by corpus and cannot be set"):
        made(layout, settings={key: "x"})


@pytest.mark.parametrize(
    ("values", "choices"),
    [
        ({"operation_mode": "production"}, "editable, cooking, final"),
        ({"operation_mode": ""}, "editable, cooking, final"),
        ({"operation_mode": "{name}"}, "editable, cooking, final"),
        ({"default_env": "production"}, "dev, staging, prod"),
        ({"services_during_build": "pause"}, "keep, stop"),
    ],
)
def test_choices_are_named(layout: Layout, values: Part, choices: str) -> None:
    with pytest.raises(ConfigurationError, match=f"is one of {choices}, not"):
        made(layout, kwargs=values)


@pytest.mark.parametrize("branch", ["", "-f", "a b", "../x", "a..b", "x.lock"])
@pytest.mark.parametrize("key", ["project_branch", "pillar_branch"])
def test_branches_are_checked(layout: Layout, key: str, branch: str) -> None:
    with pytest.raises(UsageError, match="cannot name a git branch"):
        made(layout, kwargs={key: branch})


# what comes out


def test_the_keys_that_existing_projects_read_are_there(layout: Layout) -> None:
    cfg = made(layout, privileged=True).values
    names = """name api_version installer operation_mode default_env url pillar_url project_branch pillar_branch
    project_dir project_root salt_root pillar_root data_root deploy_root archives_root releases_root build_root git_root
    project_git_root pillar_git_root current_archive_dir current_release_dir release_artifacts_urls main_ip domain
    domains user group groups defaults env_defaults os_defaults sls_includes data rollback notify_methods"""
    assert set(names.split()) | {f"skip_{stage}" for stage in workflow.ALL} <= set(cfg)
    assert cfg["data_root"] == str(layout.data)
    assert cfg["main_ip"] == "192.0.2.7"
    assert (cfg["http_address"], cfg["http_port"]) == ("*", 80)
    assert (cfg["user"], cfg["group"]) == ("demo", "demo")


def test_an_ordinary_user_listens_where_it_may(layout: Layout) -> None:
    cfg = made(layout)
    assert (cfg.values["http_address"], cfg.values["http_port"]) == ("127.0.0.1", 8080)
    assert cfg.sources["http_port"] == cfg.sources["project_root"] == "computed"


def test_every_key_has_exactly_one_explanation(layout: Layout) -> None:
    cfg = made(
        layout,
        sample={"data": {"a": {"b": 1, "c": 2}}},
        pillar={"data": {"a": {"b": 3}, "d.e": 4, 80: "http"}, "env": {"PATH_X": "1"}},
        kwargs={"healthcheck": {"path": "/ok"}, "data": {"a": {"f": {}}}},
    )
    explained = cfg.explained()
    assert {key: entry for key, entry in explained.items() if key.startswith(("data", "env", "healthcheck"))} == {
        "data.80": {"value": "http", "from": "pillar"},
        "data.a.b": {"value": 3, "from": "pillar"},
        "data.a.c": {"value": 2, "from": ".salt/PILLAR.sample"},
        "data.a.f": {"value": {}, "from": "arguments"},
        "data.d.e": {"value": 4, "from": "pillar"},
        "data_root": {"value": str(layout.data), "from": "default"},
        "databases": {"value": [], "from": "default"},
        "env.PATH_X": {"value": "1", "from": "pillar"},
        "env_defaults": {"value": {}, "from": "default"},
        "healthcheck.path": {"value": "/ok", "from": "arguments"},
    }
    assert {key.split(".")[0] for key in explained} == set(KEYS)


def test_a_leaf_that_takes_the_place_of_a_mapping_takes_its_explanation(layout: Layout) -> None:
    cfg = made(layout, sample={"data": {"a": {"b": 1}}}, pillar={"data": {"a": "x"}}, kwargs={"data": {"c": 1}})
    assert cfg.values["data"] == {"a": "x", "c": 1}
    assert {key for key in cfg.sources if key.startswith("data.")} == {"data.a", "data.c"}


def test_layers_are_copied_not_shared(layout: Layout) -> None:
    pillar: Part = {"data": {"list": [1], "map": {"a": 1}}}
    first = made(layout, pillar=pillar)
    first.values["data"]["list"].append(2)
    first.values["data"]["map"]["b"] = 2
    first.values["notify_methods"].append("mail")
    assert pillar == {"data": {"list": [1], "map": {"a": 1}}}
    assert made(layout).values["notify_methods"] == ["stdout"]


# what is saved


def test_settings_are_stored_encrypted_and_come_back(layout: Layout) -> None:
    settings = {"data": {"db": {"password": "s3cr3t-é"}, "port": 1}, "drain": 7}
    assert configuration.store_settings(layout, settings) is True
    assert configuration.stored_settings(layout) == settings
    assert configuration.store_settings(layout, settings) is False
    assert "s3cr3t" not in layout.settings.read_text()
    assert layout.settings.stat().st_mode & 0o777 == 0o600
    assert assemble(layout, pillar={}, grains=GRAINS).sources["drain"] == "saved settings"


def test_a_text_that_looks_encrypted_does_not_lock_anybody_out(layout: Layout) -> None:
    configuration.store_settings(layout, {"data": {"note": "encrypted: by hand"}})
    assert configuration.stored_settings(layout) == {"data": {"note": "encrypted: by hand"}}


def test_no_settings_yet(layout: Layout) -> None:
    assert configuration.stored_settings(layout) == {}


def test_the_snapshot_holds_no_secret(layout: Layout) -> None:
    cfg = made(layout, pillar={"data": {"password": "abc", "url": "pg://u:s3cr3t@h/", 80: "x", "y": 1}})
    configuration.store_snapshot(layout, cfg.values, secrets.Redactor({"s3cr3t"}))
    text = layout.snapshot.read_text()
    assert "s3cr3t" not in text
    assert '"abc"' not in text
    assert layout.snapshot.stat().st_mode & 0o777 == 0o600


def test_one_text_is_a_list_of_one() -> None:
    key = "ssh-ed25519 AAAA ada@laptop"
    assert configuration.checked_settings({"authorized_keys": key})["authorized_keys"] == [key]
