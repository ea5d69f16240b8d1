"""How a machine becomes the cloud controller: one function, that may be called again at any time.

The states ``corpus.controller`` make packages, configuration and services what they should be; then the registry gets
its tables, the controller its ssh key, and PowerDNS its zone. Where no systemd runs, nothing is started: the report
tells what to start, and a second call makes what needed it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus import files, tree
from corpus.controller import access, webservice
from corpus.controller.settings import Settings
from corpus.errors import ConfigurationError, CorpusError, UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller.dns.powerdns import Server

#: Debian's packages of a controller; those of PowerDNS come to them
PACKAGES = ("debian-archive-keyring", "mmdebstrap", "openssh-client", "rsync", "zstd")
#: What is compiled with these talks to LDAP
LDAP_PACKAGES = ("gcc", "libldap-dev", "libsasl2-dev", "python3-dev")
#: Where events of minions lead
REACTOR = ("salt/minion/*/start", "corpus/deployment/*/*/end")
#: What Salt asks PAM with: of a link, such as an environment's Python is, it takes what that leads to, which lacks Salt
PAM_PYTHON = "corpus-python"
#: Seconds that PowerDNS gets to answer after it was started
ANSWERING = 30

_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_LDAP = (
    "uri",
    "basedn",
    "binddn",
    "filter",
    "groupou",
    "groupclass",
    "groupattribute",
    "accountattributename",
    "starttls",
    "tls",
)
_DATABASE = ("host", "port", "dbname", "user", "password_file")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What the controller should be like.

    :param settings: the key ``corpus`` of the master's configuration, see :class:`~corpus.controller.settings.Settings`;
        without ``dns``, PowerDNS is installed here
    :param admins: Unix group (or LDAP group) whose people may call every runner
    :param ldap: who people are is LDAP's to say: ``uri``, ``basedn``, ``binddn``, ``bind_password_file``, ``filter`` …,
        as Salt's ``auth.ldap.*``; empty: PAM's
    :param web: the web service: ``url``, ``listen``, ``port``, ``certificate`` and ``key``, ``session_hours``, ``registry``
        (where the controller's is PostgreSQL: with a role of the service's own); empty: there is none
    :param dns_database: where PowerDNS keeps zones: ``host``, ``port``, ``dbname``, ``user``, ``password_file`` of a
        PostgreSQL database; empty: SQLite
    :param dns_addresses: where PowerDNS answers
    :param dns_port: where PowerDNS answers
    :param dns_api_port: of its API, on loopback
    :param interface: address that the master listens at
    :param publish_port: of the master
    :param return_port: of the master
    :param root: folder below which the master keeps keys, cache and sockets
    :param configuration: absolute path of Salt's configuration
    :param dns_folder: absolute path of PowerDNS' configuration
    :param dns_home: absolute path of the folder with PowerDNS' database, for SQLite
    :param dns_user: that PowerDNS runs as; empty: us
    :param web_folder: absolute path of the web service's configuration
    :param web_user: that the web service runs as
    :param systemd: whether services are started by systemd; None: when it runs
    """

    settings: Mapping[str, Any]
    admins: str = "corpus-admins"
    ldap: Mapping[str, Any] = field(default_factory=dict)
    web: Mapping[str, Any] = field(default_factory=dict)
    dns_database: Mapping[str, Any] = field(default_factory=dict)
    dns_addresses: tuple[str, ...] = ("0.0.0.0", "::")  # noqa: S104 - a name server answers everybody
    dns_port: int = 53
    dns_api_port: int = 8081
    interface: str = "0.0.0.0"  # noqa: S104 - minions come from everywhere
    publish_port: int = 4505
    return_port: int = 4506
    root: Path = Path("/")
    configuration: Path = Path("/etc/salt")
    dns_folder: Path = Path("/etc/powerdns")
    dns_home: Path = Path("/var/lib/powerdns")
    dns_user: str = "pdns"
    web_folder: Path = Path("/etc/corpus")
    web_user: str = webservice.IDENTITY
    systemd: bool | None = None

    def __post_init__(self) -> None:
        if not _GROUP.fullmatch(self.admins):
            raise UsageError(f"{shown(self.admins)} cannot name a group.")
        for what, given, known in (
            ("ldap", self.ldap, (*_LDAP, "bind_password_file")),
            ("dns_database", self.dns_database, _DATABASE),
        ):
            for key, value in given.items():
                if key not in known:
                    raise ConfigurationError(f"{what}.{key} is not known: there are {', '.join(sorted(known))}.")
                if isinstance(value, str) and ("\n" in value or "\r" in value):
                    raise ConfigurationError(f"{what}.{key} has more than one line.")
        for address in (self.interface, *self.dns_addresses):
            access.host(address)
        settings = self.read()
        if self.web:
            webservice.checked(self.web, settings)

    @property
    def own_dns(self) -> bool:
        """Whether PowerDNS is ours to install."""
        return "dns" not in self.settings

    @property
    def runs_systemd(self) -> bool:
        """Whether services are started by systemd."""
        return Path("/run/systemd/system").is_dir() if self.systemd is None else self.systemd

    def complete(self) -> dict[str, Any]:
        """Return the settings with what we add: where our own PowerDNS is, and the zone's name server."""
        given = {key: value for key, value in self.settings.items() if value is not None}
        zone = given.get("zone", Settings.zone)
        if self.own_dns:
            key_file = Path(given.get("home", Settings.home)) / "pdns.key"
            given["dns"] = {"url": f"http://127.0.0.1:{self.dns_api_port}", "api_key_file": str(key_file)}
        given.setdefault("nameservers", [f"ns1.{zone}"])
        given["admins"] = self.admins
        if self.web:
            given.setdefault("registry_url", webservice.own_registry(Path(given.get("home", Settings.home))))
            given["web_url"] = str(self.web.get("url", "")).rstrip("/")
        return given

    def read(self) -> Settings:
        """Return the settings as the controller will read them."""
        return Settings.configured({"corpus": self.complete()})


def wished(given: object, **settings: Any) -> Wish:
    """Return the wish of a mapping, such as a YAML file has: the fields of :class:`Wish`, by name.

    :param settings: stronger than those of the mapping; what is None does not count
    :raises ConfigurationError: a key is unknown, or of the wrong type
    """
    if not isinstance(given, Mapping):
        raise ConfigurationError("What the controller should be like is a mapping: see docs/controller.rst.")
    known = {one.name: one for one in fields(Wish)}
    values: dict[str, Any] = {"settings": {}}
    for key, value in given.items():
        if key not in known:
            raise ConfigurationError(f"{shown(key)} is not known: there are {', '.join(sorted(known))}.")
        values[key] = _typed(known[key].type, value, key)
    values["settings"] = {**values["settings"], **{key: value for key, value in settings.items() if value is not None}}
    return Wish(**values)


def _typed(kind: object, value: object, key: str) -> Any:
    if kind == "Path" and isinstance(value, (str, Path)) and Path(value).is_absolute():
        return Path(value)
    if str(kind).startswith("tuple") and isinstance(value, (list, tuple)):
        return tuple(map(str, value))
    if str(kind).startswith("Mapping") and isinstance(value, Mapping):
        return dict(value)
    plain: dict[object, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool | None": (bool, type(None))}
    if isinstance(value, plain.get(kind, ())) and not (kind == "int" and isinstance(value, bool)):
        return value
    raise ConfigurationError(f"{key} cannot be {shown(value)}: it is of another type ({kind}).")


def controller(wish: Wish, test: bool = False, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Make this machine the controller.

    :param test: change nothing, tell what would be
    :param say: shows a line to whoever waits
    :returns: ``result`` (None: there is something to do, and this was a test), ``comment``, ``changes`` by part, and
        ``start``: command lines that a person must run, where no systemd does
    """
    settings = wish.read()
    if os.geteuid() != 0 and not test:
        raise CorpusError("A controller is made by root: run this as root.")
    changes: dict[str, Any] = {}
    if wish.web:
        webservice.packages()
    if not test:
        _home(wish, settings, changes)
    say("packages, configuration, services")
    told = _pillar(wish, settings)  # once: it may have a password that is made up
    failures = _states(told, changes, test, "corpus.controller")
    waiting: list[str] = []
    if not failures:
        say("registry, keys, zone")
        _registry(wish, settings, changes, test)
        _key(settings, changes, test)
        waiting = _zone(wish, settings, changes, test)
    if wish.web and not failures:
        say("web service")
        if not test and (reason := webservice.unreachable(wish.web_user)):
            (failures if wish.runs_systemd else waiting).append(reason)
        failures += _states(told, changes, test, "corpus.controller.web")
    start = [] if wish.runs_systemd else _to_start(wish)
    return {
        "result": False if failures else (None if test and changes else True),
        "comment": _comment(failures, waiting, changes, test, start),
        "changes": changes,
        "start": start,
    }


def _comment(failures: list[str], waiting: list[str], changes: Mapping[str, Any], test: bool, start: list[str]) -> str:
    if failures:
        return " ".join(failures)
    if test:
        return "This would be changed." if changes else "This machine is the controller; nothing would be changed."
    words = ["This machine is the controller."]
    if start:
        words.append("No systemd runs here: start what is listed.")
    return " ".join([*words, *waiting])


def _home(wish: Wish, settings: Settings, changes: dict[str, Any]) -> None:
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not wish.web:
        settings.home.chmod(0o700)
    if settings.dns and settings.dns.api_key_file.parent == settings.home and not settings.dns.api_key_file.exists():
        files.write(settings.dns.api_key_file, secrets.token_hex(32) + "\n", 0o600)
        changes["key of PowerDNS' API"] = "made"


def _states(told: Mapping[str, Any], changes: dict[str, Any], test: bool, name: str) -> list[str]:
    """Apply the states; collect what they change, and return the complaints of those that failed."""
    with warnings.catch_warnings(), _minion() as call:
        # What Python thinks of the modules that Salt imports is not for the caller.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        done = call("state.apply", name, pillar={"controller": told}, test=test)
    if not isinstance(done, Mapping):
        return [f"The states {name} cannot be read: {' '.join(map(str, done))}"]
    failures = []
    for key, state in sorted(done.items(), key=lambda item: item[1].get("__run_num__", 0)):
        part = state.get("__id__", key)
        if state["result"] is False:
            if "requisite failed" not in state["comment"]:
                failures.append(f"{part}: {_reason(str(state['comment']))}")
        elif state["changes"] or (test and state["result"] is None):
            changes[part] = " ".join(str(state["comment"]).split())[:160]
    if not failures and any(state["result"] is False for state in done.values()):
        failures.append(f"The states {name} depend on one another in a circle.")
    return failures


def _reason(comment: str) -> str:
    """What a person should read of why a state failed: of a traceback, the last line."""
    return (comment.strip().splitlines() or [""])[-1] if "Traceback" in comment else " ".join(comment.split())


def _pillar(wish: Wish, settings: Settings) -> dict[str, Any]:
    """What the states are told. It is handed over inside of this process: there are secrets in it."""
    return {
        "home": str(settings.home),
        "packages": [*PACKAGES, *(LDAP_PACKAGES if wish.ldap else ()), *_dns_packages(wish)],
        "ldap": bool(wish.ldap),
        "python": sys.executable,
        "pam_python": None if wish.ldap else str(wish.configuration / PAM_PYTHON),
        "systemd": wish.runs_systemd,
        # A runner inside of this very master must live to tell.
        "restart": "/salt-master.service" not in Path("/proc/self/cgroup").read_text(),
        "configuration": str(wish.configuration),
        "cache": str(wish.root / "var/cache/salt/master"),
        "units": "/etc/systemd/system",
        "programs": str(Path(sys.executable).parent),
        "group": wish.admins if not wish.ldap and wish.root == Path("/") else None,
        "master": master_configuration(wish),
        "dns": _dns(wish, settings) if wish.own_dns else None,
        "web": _web(wish, settings) if wish.web else None,
    }


def _web(wish: Wish, settings: Settings) -> dict[str, Any]:
    people = "ldap" if wish.ldap else "pam"
    return webservice.pillar(
        wish.web, settings, wish.web_folder, wish.web_user, people, wish.return_port, wish.interface
    )


def _dns_packages(wish: Wish) -> list[str]:
    if not wish.own_dns:
        return []
    return [
        "pdns-server",
        *(["pdns-backend-pgsql", "postgresql-client"] if wish.dns_database else ["pdns-backend-sqlite3", "sqlite3"]),
    ]


def _dns(wish: Wish, settings: Settings) -> dict[str, Any]:
    assert settings.dns is not None
    database = {key: value for key, value in wish.dns_database.items() if key != "password_file"}
    password = _secret(wish.dns_database.get("password_file"))
    variables = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER"}
    return {
        "folder": str(wish.dns_folder),
        "home": str(wish.dns_home),
        "database": str(wish.dns_home / "corpus.sqlite3"),
        "user": wish.dns_user,
        "addresses": list(wish.dns_addresses),
        "port": wish.dns_port,
        "api_port": wish.dns_api_port,
        "api_key": _secret(settings.dns.api_key_file),
        "socket_folder": None if wish.root == Path("/") else str(wish.dns_home),
        "postgresql": database | ({"password": password} if password else {}),
        "environment": {variables[key]: str(value) for key, value in database.items()}
        | ({"PGPASSWORD": password} if password else {}),
    }


def master_configuration(wish: Wish) -> dict[str, Any]:
    """Return what is written into ``master.d/corpus.conf``."""
    top = tree.checkout()
    everything = [".*", "@runner", "@wheel", "@jobs"]
    return {
        "user": "root",
        **({} if wish.root == Path("/") else {"root_dir": str(wish.root)}),
        "interface": wish.interface,
        "publish_port": wish.publish_port,
        "ret_port": wish.return_port,
        **({"module_dirs": [str(top)]} if top else {}),  # installed with pip, Salt finds it by itself
        "file_roots": {"base": [str(tree.folder()), "/srv/salt"]},
        "pillar_roots": {"base": ["/srv/pillar"]},
        "ext_pillar": [{"mc_corpus": {}}],
        "external_auth": {
            "ldap" if wish.ldap else "pam": {f"{wish.admins}%": everything},
            **({"file": webservice.eauth(wish.web_folder)} if wish.web else {}),
        },
        **({} if wish.ldap else {"auth.pam.python": str(wish.configuration / PAM_PYTHON)}),
        "schedule": {"corpus-resume": {"function": "mc_controller.resume", "minutes": 5, "run_on_start": True}},
        "engines": [{"mc_controller": {}}],
        "reactor": [{tag: ["salt://corpus/reactor/heard.sls"]} for tag in REACTOR],
        "enable_fqdns_grains": False,
        **{f"auth.ldap.{key}": value for key, value in wish.ldap.items() if key != "bind_password_file"},
        **({"auth.ldap.bindpw": word} if (word := _secret(wish.ldap.get("bind_password_file"))) else {}),
        "corpus": wish.complete(),
    }


def _secret(path: object) -> str:
    """The secret in a file; empty when there is no such file."""
    try:
        return Path(str(path)).read_text().strip() if path else ""
    except FileNotFoundError:
        return ""


def _registry(wish: Wish, settings: Settings, changes: dict[str, Any], test: bool) -> None:
    from corpus.controller.registry import migrations
    from corpus.controller.registry.store import Registry

    url = settings.registry_url
    if test and url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        changes["registry"] = "would be made"
        return
    if wish.web and not test and webservice.moved(settings):
        changes["registry's place"] = url.removeprefix("sqlite:///")
    registry = Registry(url, settings.key_file)
    try:
        if registry.revision() != migrations.HEAD:
            changes["registry"] = "would be upgraded" if test else "upgraded"
            if not test:
                registry.upgrade()
    finally:
        registry.close()
    if wish.web and not test:
        webservice.shared(settings, wish.web_user)


def _key(settings: Settings, changes: dict[str, Any], test: bool) -> None:
    """The controller's own ssh key, by which it gets into nodes."""
    path = settings.ssh / "controller"
    if path.exists():
        return
    changes["ssh key"] = "would be made" if test else str(path.with_name("controller.pub"))
    if not test:
        access.kept_key(path, f"corpus@{settings.zone}")


def _zone(wish: Wish, settings: Settings, changes: dict[str, Any], test: bool) -> list[str]:
    """Make the zone, and the reverse zones of guests' networks; return what still has to be done for it, in words."""
    from corpus.controller.dns import zones
    from corpus.controller.dns.powerdns import Server

    if settings.dns is None:
        return []
    if test and not settings.dns.api_key_file.exists():
        changes["zone"] = f"{settings.zone} would be made"
        return []
    server = Server(settings.dns.url, settings.dns.api_key_file)
    if not _answers(server, ANSWERING if wish.own_dns and wish.runs_systemd and not test else 0):
        changes["zone"] = f"{settings.zone} waits for PowerDNS"
        return [f"The zone {settings.zone} is made by another call, once PowerDNS answers at {settings.dns.url}."]
    private = [zones.reverse_of(one) for one in (settings.guest_network, settings.guest_network6) if wish.own_dns]
    made: dict[str, Any] = {}
    for zone in filter(None, [settings.zone, *private]):
        made |= zones.create(server, zone, settings.nameservers, plan=test)
    if made:
        changes["zone"] = {name: change["new"] for name, change in made.items()}
    return []


def _answers(server: Server, seconds: float) -> bool:
    """Tell whether a name server answers within some seconds."""
    end = time.monotonic() + seconds
    while not server.answers():
        if time.monotonic() >= end:
            return False
        time.sleep(0.2)
    return True


def _to_start(wish: Wish) -> list[str]:
    """Command lines, for a machine whose services nobody starts."""
    programs = Path(sys.executable).parent
    lines = [f"pdns_server --config-dir={wish.dns_folder} --daemon=yes --guardian=yes"] if wish.own_dns else []
    lines.append(f"{programs}/salt-master -c {wish.configuration} -d")
    if wish.web:
        who = f"--reuid={wish.web_user} --regid={webservice.group(wish.web_user)} --init-groups"
        port = " --inh-caps=+net_bind_service --ambient-caps=+net_bind_service" if webservice.low(wish.web) else ""
        lines.append(f"setpriv {who}{port} {programs}/corpus-web --settings {wish.web_folder}/web.yaml")
    return lines


@contextmanager
def _minion() -> Iterator[Callable[..., Any]]:
    """A minion without a master, in this process, with the pack's states; it leaves nothing behind."""
    import salt.client
    import salt.config

    with tempfile.TemporaryDirectory(prefix="corpus-bootstrap-") as folder:
        settings = {
            "id": "controller",
            "file_client": "local",
            "master_type": "disable",
            "root_dir": folder,
            "file_roots": {"base": [str(tree.folder())]},
            "pillar_roots": {"base": []},
            "enable_fqdns_grains": False,
            "log_level": "error",
            "log_level_logfile": "quiet",
        }
        path = Path(folder) / "minion"
        path.write_text(json.dumps(settings))
        opts = salt.config.minion_config(str(path))
        caller = salt.client.Caller(mopts=opts)
        yield lambda function, *words, **keywords: caller.cmd(function, *words, **keywords)
