"""What ``mc_controller.init`` is asked for, as the wish that the controller is made by.

No operation: before it, there is no registry to write a journal into. It can be called again at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from corpus.controller import bootstrap, webservice
from corpus.controller.settings import Settings
from corpus.errors import CorpusError, UsageError


def init(
    opts: Mapping[str, Any],
    given: str | Mapping[str, Any] | None,
    zone: str | None,
    master_address: str | None,
    test: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Make this machine the controller; return a report.

    :param opts: of the master: what it is now, where nothing else is given
    :param given: what the controller should be like, or the absolute path of a YAML file that says so
    """
    wish = bootstrap.wished(_mapping(opts, given), zone=zone, master_address=master_address)
    report = bootstrap.controller(wish, test=test, say=say)
    failed = report["result"] is False
    return {"name": "controller", **report, "result": not failed, "retcode": 1 if failed else 0}


def _mapping(opts: Mapping[str, Any], given: str | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    if given is None:
        return _as_it_is(opts)
    path = Path(given)
    if not path.is_absolute():
        raise UsageError("settings is the absolute path of a YAML file, or a mapping.")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as err:
        raise CorpusError(f"{path} cannot be read: {err}") from err


def _as_it_is(opts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the master's configuration says already.

    :raises UsageError: there is more to it than the configuration tells
    """
    auth = opts.get("external_auth") or {}
    if "ldap" in auth:  # where its password came from is not written there
        raise UsageError(
            "People are LDAP's to know here: name the file with the controller's settings by settings=PATH."
        )
    groups = [name.removesuffix("%") for name in auth.get("pam") or {} if str(name).endswith("%")]
    settings = dict(opts.get("corpus") or {})
    home = Path(settings.get("home", Settings.home))
    own = {"url": "http://127.0.0.1:8081", "api_key_file": str(home / "pdns.key")}
    if settings.get("dns") == own and Path("/var/lib/powerdns/corpus.sqlite3").exists():
        del settings["dns"]
    found: dict[str, Any] = {
        "settings": settings,
        "interface": str(opts.get("interface", "0.0.0.0")),  # noqa: S104 - as the master has it
        "publish_port": int(opts.get("publish_port", 4505)),
        "return_port": int(opts.get("ret_port", 4506)),
        "root": str(opts.get("root_dir") or "/"),
    }
    if opts.get("conf_file"):
        found["configuration"] = str(Path(str(opts["conf_file"])).parent)
    if len(groups) == 1:
        found["admins"] = groups[0]
    service = auth.get("file") or {}
    if webservice.IDENTITY in service:
        folder = Path(str(service.get("^filename"))).parent
        found |= {"web_folder": str(folder), "web": webservice.as_it_is(folder, settings)}
    return found
