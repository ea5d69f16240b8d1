"""``cfg``: the mapping that describes a project, assembled from layers and handed live to every sls.

Layers, weakest first: defaults, the installer's defaults, what is found in the tree, its ``.env``, ``app.json`` and ``Procfile``,
``env_defaults[default_env]``, ``os_defaults[os_family, os]``,
the registry's ``env``, ``.salt/PILLAR.sample``, pillar ``makina-projects.<name>``, grains likewise, saved settings, keyword arguments.
"""

from __future__ import annotations

import copy
import re
import socket
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpus import files, identifiers, secrets
from corpus.errors import ConfigurationError
from corpus.project import closure, found, installers, workflow
from corpus.project.found import Found, declared
from corpus.project.found.declared import Declared
from corpus.project.keeping import registry
from corpus.project.keys import KEYS, PLACEHOLDER, check, checked, plain
from corpus.project.layout import Layout
from corpus.project.running import formation

#: the pillar key, the grain and the top of a PILLAR.sample: ``makina-projects.<name>``
PREFIX = "makina-projects."

#: ``{}domain}`` stands for the text ``{domain}``: a closing brace more, and it is no placeholder
_QUOTED = re.compile(r"\{\}(\}*[a-z_]+\})")
#: the part of the settings whose values are all encrypted where they are saved
_SEALED = ("env",)


@dataclass(frozen=True)
class Layer:
    """Values from one place.

    :param source: the place, in words for a person
    :param values: configuration keys and values
    """

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Configuration:
    """An assembled configuration.

    :param values: the whole ``cfg``
    :param sources: where each value came from, by dotted key (``data.port``)
    :param installer: folder of the installer, absolute
    :param pack: folder that holds the installers and macros to render with: this pack's, or those of a release
    :param found: what the tree says of itself, when the installer was looked for in it and something was found
    :param declared: what the tree declares whatever its installer is
    :param looked: whether the installer was looked for in the tree
    """

    values: dict[str, Any]
    sources: dict[str, str]
    installer: Path
    pack: Path
    found: Found | None = None
    declared: Declared = field(default_factory=lambda: Declared({}))
    looked: bool = False

    def explained(self) -> dict[str, dict[str, Any]]:
        """Return ``{dotted key: {"value": …, "from": …}}``."""
        return {key: {"value": _leaf(self.values, key), "from": source} for key, source in sorted(self.sources.items())}


def assemble(
    layout: Layout,
    *,
    grains: Mapping[str, Any],
    pillar: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    salt_root: Path | None = None,
    privileged: bool = False,
    with_installer: bool = True,
) -> Configuration:
    """Put a project's configuration together.

    :param grains: the minion's grains (os, os_family, addresses, ``makina-projects.<name>``)
    :param pillar: the minion's pillar with the project's own merged in
    :param settings: saved settings; None reads them
    :param kwargs: what the caller sets for this call
    :param sample: the values of ``.salt/PILLAR.sample``
    :param salt_root: the ``.salt`` to look for the installer in; None: the running tree's
    :param privileged: whether corpus runs as root, with a user of the project's own
    :param with_installer: look for the installer, too; without, its defaults do not count
    :raises ConfigurationError: unknown key, wrong type, unresolvable placeholder, no such installer
    """
    salt_root = salt_root or layout.salt
    settings = stored_settings(layout) if settings is None else settings
    above = [
        Layer("registry", {"env": registry.environment(layout)}),
        Layer(".salt/PILLAR.sample", checked(sample or {}, ".salt/PILLAR.sample")),
        Layer("pillar", checked(_project_part(pillar, layout.name), f"pillar {PREFIX}{layout.name}")),
        Layer("grains", checked(_project_part(grains, layout.name), f"grain {PREFIX}{layout.name}")),
        Layer("saved settings", checked(settings, "the saved settings")),
        Layer("arguments", checked(kwargs or {}, "the arguments")),
    ]
    base = Layer("default", {key.name: copy.deepcopy(key.default) for key in KEYS.values()})
    # What chooses a layer stands in others: look there first.
    chosen, _ = _merged([base, *above])
    lowest = [base, Layer("defaults", checked(chosen["defaults"], "defaults"))]
    chosen = _with_environment([*lowest, *above])
    chosen, sources = _merged([*lowest, *_selected(chosen, grains), *above])
    asked, version = _installer(chosen) if with_installer else (installers.PLAIN, chosen["api_version"])
    # Production renders a release with what staging had, and looks for nothing.
    brought = closure.within(salt_root) if with_installer and chosen["operation_mode"] == workflow.FINAL else None
    seen = None
    declares = declared.read(salt_root.parent) if with_installer else Declared({})
    if brought:
        installer = closure.checked(brought, asked, sources["installer"])
        folder = brought.place
    else:
        seen = found.look(salt_root.parent, installers.official(version)) if asked == installers.AUTO else None
        installer = asked if asked != installers.AUTO else seen.installer if seen else installers.PLAIN
        try:
            folder = installers.find(installer, version, salt_root)
        except ConfigurationError:
            if chosen["operation_mode"] != workflow.FINAL or not chosen["release_artifacts_urls"]:
                raise
            installer = installers.PLAIN  # until the release is fetched, which brings its own and is asked then
            folder = installers.find(installer, version, salt_root)
    lowest.append(Layer(f"installer {installer}", checked(installers.defaults(folder), f"{folder}/defaults.yaml")))
    if with_installer:
        told = (brought or seen or Found(installer, "", found.values(salt_root.parent, installer))).values
        if declares.processes:
            told = {key: value for key, value in told.items() if key != "processes"}
        lowest.append(Layer("found in the tree", checked(told, "what was found in the tree")))
        lowest += [Layer(name, checked(values, name)) for name, values in declares.values.items()]
    chosen = _with_environment([*lowest, *above])
    values, sources = _merged([*lowest, *_selected(chosen, grains), *above])
    if with_installer and _installer(values) != (asked, version):
        raise ConfigurationError(f"{folder}/defaults.yaml: an installer cannot choose another one, or another API.")
    for key, value in _fixed(layout, values, grains, privileged).items():
        values[key] = value
        sources[key] = "computed"
    if values["default_env"] is None:
        values["default_env"] = chosen["default_env"]
        sources["default_env"] = "operation_mode"
    if with_installer and asked == installers.AUTO:
        values["installer"] = installer
        why = seen.why if seen else "the release was made with it" if brought else "nothing to recognize in the tree"
        sources["installer"] = f"auto: {why}"
    _resolve(values, {path for path, source in sources.items() if source in declares.values})
    for key in ("project_branch", "pillar_branch"):
        identifiers.branch_name(values[key])
    formation.check_scale(values["scale"])
    formation.check_limits(values["limits"])
    return Configuration(
        values,
        sources,
        folder,
        brought.folder if brought else installers.official_root(),
        found=seen,
        declared=declares,
        looked=with_installer and asked == installers.AUTO and not brought,
    )


def stored_settings(layout: Layout) -> dict[str, Any]:
    """Return what was set explicitly, decrypted."""
    opened = secrets.Vault(layout.key).opened(files.read_json(layout.settings, {}))
    return dict(opened)


def store_settings(layout: Layout, settings: Mapping[str, Any]) -> bool:
    """Save explicit settings (0600, secrets encrypted); return whether they changed."""
    if layout.settings.exists() and stored_settings(layout) == dict(settings):
        return False
    return files.write_json(layout.settings, secrets.Vault(layout.key).sealed(dict(settings), always=_SEALED))


def sealed_settings(layout: Layout) -> dict[str, Any]:
    """Return what was set explicitly as it is saved, secrets encrypted."""
    return dict(files.read_json(layout.settings, {}))


def restore_settings(layout: Layout, sealed: Mapping[str, Any]) -> bool:
    """Save again what :func:`sealed_settings` returned earlier; return whether that changed anything."""
    return files.write_json(layout.settings, sealed)


def keep_environment(layout: Layout, release: str) -> None:
    """Note, sealed, with which saved environment a release was deployed, for a rollback to it."""
    files.write_json(layout.environment(release), sealed_settings(layout).get("env", {}))


def kept_environment(layout: Layout, release: str) -> dict[str, Any] | None:
    """Return the saved environment that a release was deployed with, decrypted, or None when that was not noted."""
    sealed = files.read_json(layout.environment(release))
    return None if sealed is None else dict(secrets.Vault(layout.key).opened(sealed))


def quoted(value: str) -> str:
    """Return a text so written that no part of it is taken for a placeholder.

    >>> quoted("{domain}")
    '{}domain}'
    """
    return re.sub(r"\{(\}*[a-z_]+\})", r"{}\1", value)


def unquoted(value: str) -> str:
    """Take back what :func:`quoted` did."""
    return _QUOTED.sub(r"{\1", value)


def store_snapshot(layout: Layout, cfg: Mapping[str, Any], redactor: secrets.Redactor) -> None:
    """Save the whole configuration as it was deployed, secrets masked: they come from the pillar again."""
    files.write_json(layout.snapshot, redactor.tree(cfg))


def checked_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` when each is a key that may be set, with the right type.

    :raises ConfigurationError: the first that is not, with the nearest known key
    """
    return checked(values, "the arguments")


def _project_part(tree: Mapping[str, Any], name: str) -> object:
    flat = tree.get(PREFIX + name)
    nested = tree.get(PREFIX.rstrip("."))
    return flat if flat is not None else (nested.get(name) if isinstance(nested, Mapping) else None)


def _with_environment(layers: Iterable[Layer]) -> dict[str, Any]:
    chosen, _ = _merged(layers)
    chosen["default_env"] = chosen["default_env"] or workflow.ENVIRONMENTS[chosen["operation_mode"]]
    return chosen


def _installer(chosen: Mapping[str, Any]) -> tuple[str, int]:
    for key in ("installer", "api_version"):
        if isinstance(chosen[key], str) and PLACEHOLDER.search(chosen[key]):
            raise ConfigurationError(f"{key}: it is needed before placeholders are known: write it out.")
    return chosen["installer"], chosen["api_version"]


def _selected(chosen: Mapping[str, Any], grains: Mapping[str, Any]) -> Iterator[Layer]:
    """The layers for this environment and this system. Those of others are checked, too: nobody waits for them to fail."""
    environments = _all_checked(chosen, "env_defaults")
    systems = _all_checked(chosen, "os_defaults")
    if chosen["default_env"] in environments:
        yield environments[chosen["default_env"]]
    for grain in ("os_family", "os"):
        if grains.get(grain) in systems:
            yield systems[grains[grain]]


def _all_checked(chosen: Mapping[str, Any], key: str) -> dict[Any, Layer]:
    if not isinstance(chosen[key], Mapping):
        raise ConfigurationError(f"{key} must be a mapping, not {identifiers.shown(chosen[key])}.")
    return {name: Layer(f"{key}[{name}]", checked(values, f"{key}[{name}]")) for name, values in chosen[key].items()}


def _merged(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        for key, value in layer.values.items():
            _merge(values, sources, key, value, layer.source, key)
    return values, sources


def _merge(into: dict[str, Any], sources: dict[str, str], key: str, value: Any, source: str, path: str) -> None:
    """Mappings merge key by key; everything else replaces what was there; None brings a key's default back."""
    if value is None and path in KEYS:
        value = copy.deepcopy(KEYS[path].default)
    elif isinstance(value, Mapping) and isinstance(into.get(key), Mapping):
        if value:
            sources.pop(path, None)
        for inner, leaf in value.items():
            _merge(into[key], sources, inner, leaf, source, f"{path}.{inner}")
        return
    for old in [known for known in sources if known == path or known.startswith(path + ".")]:
        del sources[old]
    into[key] = plain(value)
    for leaf_path in _leaves(value, path):
        sources[leaf_path] = source


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for inner, leaf in value.items():
            yield from _leaves(leaf, f"{path}.{inner}")
    else:
        yield path


def _leaf(values: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a dotted path; keys may hold dots themselves, or be numbers."""
    for key, value in values.items():
        if str(key) == path:
            return value
        if isinstance(value, Mapping) and path.startswith(f"{key}."):
            found = _leaf(value, path.removeprefix(f"{key}."))
            if found is not None:
                return found
    return None


def _fixed(layout: Layout, values: Mapping[str, Any], grains: Mapping[str, Any], privileged: bool) -> dict[str, Any]:
    fixed: dict[str, Any] = {
        "name": layout.name,
        "project_dir": str(layout.folder),
        "project_root": str(layout.project),
        "salt_root": str(layout.salt),
        "pillar_root": str(layout.pillar),
        "build_root": str(layout.build),
        "deploy_root": str(layout.deploy),
        "archives_root": str(layout.archives),
        "releases_root": str(layout.releases),
        "git_root": str(layout.git),
        "project_git_root": str(layout.project_git),
        "pillar_git_root": str(layout.pillar_git),
        "home": str(layout.home),
        "sls_includes": installers.includes(),
    }
    if values["main_ip"] is None:
        fixed["main_ip"] = _main_address(grains)
    if values["http_port"] is None:
        fixed["http_port"] = 80 if privileged else 8080
    if values["https_port"] is None:
        fixed["https_port"] = 443 if privileged else 8443
    if values["http_address"] == "{default_http_address}":
        fixed["http_address"] = "*" if privileged else "127.0.0.1"
    return fixed


def _main_address(grains: Mapping[str, Any]) -> str:
    addresses = [address for address in grains.get("ipv4") or [] if not str(address).startswith("127.")]
    if addresses:
        return str(addresses[0])
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"


def _resolve(values: dict[str, Any], literal: Container[str] = ()) -> None:
    """Replace ``{key}`` in every text by the key's value; a text that is one placeholder takes the value's type.

    :param literal: dotted keys whose values are taken as they are
    """

    def resolved(value: Any, path: str, seen: tuple[str, ...]) -> Any:
        if path in literal:
            return value
        if isinstance(value, dict):
            return {key: resolved(inner, f"{path}.{key}", seen) for key, inner in value.items()}
        if isinstance(value, list):
            return [resolved(inner, path, seen) for inner in value]
        if not isinstance(value, str):
            return value

        def known(name: str) -> Any:
            if name in seen:
                raise ConfigurationError(f"{path}: the placeholder {{{name}}} leads back to itself.")
            return resolved(values[name], name, (*seen, name))

        whole = PLACEHOLDER.fullmatch(value)
        if whole and whole[1] in KEYS:
            return known(whole[1])
        parts = _QUOTED.split(value)  # what is quoted stands at every second place
        return "".join(
            "{" + part
            if number % 2
            else PLACEHOLDER.sub(lambda found: _text(known(found[1])) if found[1] in KEYS else found[0], part)
            for number, part in enumerate(parts)
        )

    for key in list(values):
        values[key] = resolved(values[key], key, (key,))
        if key in KEYS and not KEYS[key].fixed:
            check(KEYS[key], values[key], key)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
