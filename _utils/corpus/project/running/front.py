"""The web front: one nginx for all projects of a machine, told by host name which project is meant.

A project's site names its running release's port, or the folder of its files. Changing it is a graceful reload:
requests under way are finished by the workers that took them.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from corpus import files, processes
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.layout import Layout, Roots
from corpus.project.running import health
from corpus.project.running.supervision import Program, Supervisor, poll

_GROUP = "front"
_ENDING = "is shutting down"  # in the title of an nginx worker that only finishes what it took
_HOST = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
#: answers the id of the release that the front serves, to this machine only
_WHICH = "/.corpus/release"

_MAIN = """\
# Written by corpus: the web front of all projects under {projects}.
{user}worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    include {mime};
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    server_tokens off;
    client_max_body_size 64m;
    server_names_hash_max_size 4096;
    server_names_hash_bucket_size 512;
    client_body_temp_path {folder}/temporary/body;
    proxy_temp_path {folder}/temporary/proxy;
    fastcgi_temp_path {folder}/temporary/fastcgi;
    uwsgi_temp_path {folder}/temporary/uwsgi;
    scgi_temp_path {folder}/temporary/scgi;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Connection "";
    proxy_read_timeout 300s;
    include {folder}/sites/*.conf;
}}
"""

_SITE = """\
# Written by corpus for the project {name}, release {release}.
{upstream}server {{
    listen {listen};
    server_name {names};
    location = {which} {{
        allow 127.0.0.1;
        deny all;
        default_type text/plain;
        return 200 "{name} {release}";
    }}
    location ~ /\\.(?!well-known/) {{ deny all; }}
{content}}}
"""

_UPSTREAM = """\
upstream corpus-{name} {{
{servers}}}
"""

_PROXY = """\
    location / {{ proxy_pass http://corpus-{name}; }}
"""

_STATIC = """\
    root "{root}";
    index index.html;
    error_page 404 /404.html;
    location / {{ try_files $uri $uri/ =404; }}
"""


def document_root(cfg: Mapping[str, Any], tree: Path) -> Path | None:
    """Return the folder of ``tree`` that is served as files, or None.

    :raises ConfigurationError: it leads out of the tree, or nginx could not name it
    """
    given = cfg["document_root"]
    if given is None:
        return None
    if any(sign in given for sign in '"\\${};') or not given.isprintable():
        raise ConfigurationError(f"document_root: {given!r} has a character that a web server cannot name.")
    folder = (tree / str(given)).resolve()
    if given.startswith("/") or not folder.is_relative_to(tree.resolve()):
        raise ConfigurationError(f"document_root: {given!r} leads out of the project's tree.")
    return folder


def check_names(cfg: Mapping[str, Any]) -> list[str]:
    """Return the host names of a project.

    :raises ConfigurationError: one of them is no host name
    """
    names = [name for name in (cfg["domain"], *cfg["domains"]) if name]
    for name in names:
        if not isinstance(name, str) or len(name) > 253 or not _HOST.fullmatch(name):
            raise ConfigurationError(f"domain: {str(name)[:80]!r} is no host name.")
    if not _is_address(str(cfg["http_address"])):
        raise ConfigurationError(
            f"http_address: {cfg['http_address']!r} is no address: use *, an IPv4 address or [IPv6]."
        )
    if not 0 < cfg["http_port"] < 65536:
        raise ConfigurationError(f"http_port: {cfg['http_port']} is no port.")
    return names


def _is_address(text: str) -> bool:
    if text == "*":
        return True
    try:
        return (ipaddress.ip_address(text.strip("[]")).version == 6) == (text[:1] + text[-1:] == "[]")
    except ValueError:
        return False


class Front:
    """The nginx of a projects root, run by its supervisor.

    :param roots: of the machine
    :param supervisor: that runs it
    """

    def __init__(self, roots: Roots, supervisor: Supervisor) -> None:
        self._roots = roots
        self._supervisor = supervisor
        self._folder = roots.own / "front"

    def site(self, layout: Layout) -> Path:
        return self._folder / "sites" / f"{layout.name}.conf"

    def point(self, layout: Layout, cfg: Mapping[str, Any], release: str, ports: Sequence[int]) -> bool:
        """Serve a release: by its web processes, in turn, or its files. Returns when the front does so.

        :param ports: loopback ports of its web processes; empty: it has none
        :returns: whether the project is served at all (neither process nor files: it is not)
        :raises CorpusError: nginx refuses the site, its port is taken, or it does not come up; the old site stays
        """
        root = document_root(cfg, layout.project)
        if not ports and root is None:
            return False
        names = check_names(cfg)
        listen = f"{cfg['http_address']}:{cfg['http_port']}"
        self._check_free(layout, listen, names)
        if ports:
            upstream = _UPSTREAM.format(
                name=layout.name, servers="".join(f"    server 127.0.0.1:{port};\n" for port in ports)
            )
            content = _PROXY.format(name=layout.name)
        else:
            upstream, content = "", _STATIC.format(root=layout.project / cfg["document_root"])
        text = _SITE.format(
            name=layout.name,
            release=release,
            listen=listen,
            names=" ".join(names) or '""',
            which=_WHICH,
            upstream=upstream,
            content=content,
        )
        if not names:  # any name: this is the one that answers when no other matches
            text = text.replace(f"listen {listen};", f"listen {listen} default_server;")
        self._prepare()
        site = self.site(layout)
        before = site.read_text(encoding="utf-8") if site.exists() else None
        files.write(site, text, 0o600)
        try:
            self._reload(cfg, names, f"{layout.name} {release}")
        except CorpusError:
            if before is None:
                site.unlink(missing_ok=True)
            else:
                files.write(site, before, 0o600)
            self.tell_nginx()
            raise
        return True

    def _check_free(self, layout: Layout, listen: str, names: list[str]) -> None:
        """Check that no other project answers for a name at an address.

        :raises ConfigurationError: one does; nginx would serve only one of the two
        """
        for site in sorted((self._folder / "sites").glob("*.conf")):
            text = site.read_text(encoding="utf-8")
            if site.stem == layout.name or f"listen {listen}" not in text:
                continue
            if not names and f"listen {listen} default_server;" in text:
                raise ConfigurationError(
                    f"{site.stem!r} answers at {listen} for every name already: "
                    f"give {layout.name!r} a domain, or another http_port."
                )
            taken = set(names) & set(text.partition("server_name ")[2].partition(";")[0].split())
            if taken:
                raise ConfigurationError(f"domain: {min(taken)} at {listen} is the project {site.stem!r} already.")

    def forget(self, layout: Layout) -> None:
        """Serve a project no more."""
        if self.site(layout).exists():
            self.site(layout).unlink()
            self.tell_nginx()

    def serves(self, layout: Layout, cfg: Mapping[str, Any]) -> str | None:
        """Return the id of the release that the front serves for a project now, or None."""
        host = (check_names(cfg) or ["localhost"])[0].replace("*.", "any.")
        try:
            name, _, release = self._which(cfg, host).partition(" ")
        except (OSError, CorpusError):
            return None
        return release if name == layout.name else None

    def _which(self, cfg: Mapping[str, Any], host: str) -> str:
        import http.client

        try:
            answer = health.ask(loopback(cfg), cfg["http_port"], _WHICH, host, timeout=2)
        except http.client.HTTPException as err:
            raise CorpusError("what answers is no web front") from err
        return answer.body if answer.status == 200 else ""

    def _prepare(self) -> None:
        for folder in (self._folder, self._folder / "sites", self._folder / "temporary"):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        nginx = processes.which("nginx")
        user = ""
        if os.geteuid() == 0:
            user = f"user {_web_user()};\n"
        mime = Path("/etc/nginx/mime.types")
        if not mime.exists():
            raise CorpusError(f"{mime} is missing: install nginx again ({nginx} is there).")
        files.write(
            self._folder / "nginx.conf",
            _MAIN.format(projects=self._roots.projects, folder=self._folder, user=user, mime=mime),
            0o600,
        )

    def _reload(self, cfg: Mapping[str, Any], names: list[str], expected: str) -> None:
        self.tell_nginx()
        host = (names or ["localhost"])[0].replace("*.", "any.")
        for _ in poll(10, 0.02):
            try:
                if self._which(cfg, host) == expected:
                    return
            except (OSError, CorpusError):
                pass
        raise CorpusError(
            f"The web front does not serve the project at port {cfg['http_port']}: is the port taken, "
            f"or does another project have the same domain? See {self._folder}/error.log."
        )

    def tell_nginx(self) -> None:
        """Reload a running nginx, or start it; a configuration it refuses is not given to it.

        Returns when no worker takes new requests with the configuration from before: one that does would send them
        to processes that are stopped next.
        """
        argv = [
            processes.which("nginx"),
            "-e",
            f"{self._folder}/error.log",
            "-c",
            f"{self._folder}/nginx.conf",
        ]
        tested = processes.run([*argv, "-t", "-q"], check=False)
        if tested.status:
            raise CorpusError(f"The web server refuses its configuration: {tested.last_words}")
        running = [process for process in self._supervisor.processes(_GROUP) if process.state == "RUNNING"]
        if running:
            workers = _workers(running[0].pid)
            self._supervisor.signal(_GROUP, "HUP")
            for _ in poll(10, 0.01):
                if not any(_accepts(worker) for worker in workers):
                    return
            return
        nginx = Program("nginx", tuple(argv), self._folder / "nginx.log", drain=10, stop_signal="QUIT", start_seconds=0)
        self._supervisor.run_group(_GROUP, [nginx])

    def drain(self, seconds: float) -> bool:
        """Wait until the requests that the configuration from before took are answered.

        :param seconds: at most
        :returns: whether they are
        """
        running = [process for process in self._supervisor.processes(_GROUP) if process.pid]
        workers = _workers(running[0].pid) if running else []
        return any(not any(_ENDING in _title(worker) for worker in workers) for _ in poll(seconds))


def _workers(master: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(master).children())
    except psutil.Error:
        return []


def _accepts(worker: psutil.Process) -> bool:
    """Tell whether an nginx worker still takes new requests; its title says when it does not."""
    title = _title(worker)
    return bool(title) and _ENDING not in title


def _title(worker: psutil.Process) -> str:
    try:
        return " ".join(worker.cmdline())
    except psutil.Error:
        return ""


def loopback(cfg: Mapping[str, Any]) -> str:
    """Return the address at which this machine reaches the front of a project."""
    address = str(cfg["http_address"])
    return "127.0.0.1" if address in ("*", "0.0.0.0") else address.strip("[]")  # noqa: S104 - compared, not bound


def url(cfg: Mapping[str, Any]) -> str:
    """Return the address of a project for a person."""
    host = cfg["domain"] or (cfg["main_ip"] if cfg["http_address"] == "*" else cfg["http_address"])
    port = "" if cfg["http_port"] == 80 else f":{cfg['http_port']}"
    return f"http://{host}{port}/"


def _web_user() -> str:
    for name in ("www-data", "nginx", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return "root"
