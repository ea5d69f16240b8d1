"""The nginx of the front: its main configuration, its start, its reload."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import pwd
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

import corpus
from corpus import files, processes
from corpus.errors import CorpusError
from corpus.project.layout import Roots
from corpus.project.running.front import caretaker, certificates, pages
from corpus.project.running.front.served_files import nameable
from corpus.project.running.front.site import Site
from corpus.project.running.supervision import Program, Supervisor, poll

_GROUP = "front"
_CARETAKER = "front-caretaker"
_ENDING = "is shutting down"  # in the title of an nginx worker that only finishes what it took

# TLS: the intermediate profile of Mozilla's server side TLS guidelines 5.7, without DHE, which wants a parameter file.
_MAIN = """\
# Written by corpus: the web front of all projects under {projects}.
{user}worker_processes auto;
worker_rlimit_nofile 8192;
worker_shutdown_timeout 12h;
daemon off;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log" warn;
events {{ worker_connections 4096; }}
http {{
    include {mime};
    default_type application/octet-stream;
    log_format corpus '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
        '"$http_referer" "$http_user_agent" $host $corpus_request $request_time $upstream_response_time';
    access_log off;
    root "{folder}/nothing";
    sendfile on;
    tcp_nopush on;
    server_tokens off;
    absolute_redirect off;
    recursive_error_pages on;
    large_client_header_buffers 4 32k;
    server_names_hash_max_size 4096;
    server_names_hash_bucket_size 512;
    map_hash_bucket_size 256;
    variables_hash_max_size 4096;
    variables_hash_bucket_size 128;
    client_body_temp_path "{folder}/temporary/body";
    proxy_temp_path "{folder}/temporary/proxy";
    fastcgi_temp_path "{folder}/temporary/fastcgi";
    uwsgi_temp_path "{folder}/temporary/uwsgi";
    scgi_temp_path "{folder}/temporary/scgi";

    proxy_http_version 1.1;
    proxy_connect_timeout 5s;
    proxy_next_upstream error;
    proxy_buffer_size 32k;
    proxy_buffers 8 32k;
    proxy_busy_buffers_size 64k;

    gzip on;
    gzip_vary on;
    gzip_proxied any;
    gzip_min_length 1024;
    gzip_types text/css text/plain text/xml text/javascript application/javascript application/json application/ld+json
        application/manifest+json application/xml application/rss+xml application/atom+xml image/svg+xml
        application/wasm font/ttf font/otf;

    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
    ssl_prefer_server_ciphers off;
    ssl_session_cache shared:corpus:10m;
    ssl_session_timeout 1d;
    ssl_session_tickets off;

    # what sites set; nginx must know the names also when there is no site
    map "" $corpus_cache {{ default ""; }}
    map "" $corpus_hashes {{ default 0; }}
    map "" $corpus_hsts {{ default ""; }}
    # an upgrade (a websocket) is passed on, everything else is one request a connection
    map $http_upgrade $corpus_connection {{ default upgrade; "" close; }}
    # events must not wait in a buffer for more of them
    map $http_accept $corpus_application {{ default buffered; "~*text/event-stream" unbuffered; }}
    # each request has an id, a proxy's or our own
    map $http_x_request_id $corpus_request {{ default $request_id; "~^[A-Za-z0-9._-]{{8,128}}$" $http_x_request_id; }}
    # headers that are only told when the application did not
    map $sent_http_x_request_id $corpus_told_request {{ default ""; "" $corpus_request; }}
    map $sent_http_x_content_type_options $corpus_nosniff {{ default ""; "" nosniff; }}
    map $sent_http_referrer_policy $corpus_referrer {{ default ""; "" strict-origin-when-cross-origin; }}
    map $sent_http_x_frame_options $corpus_frames {{ default ""; "" SAMEORIGIN; }}
    map $sent_http_strict_transport_security $corpus_told_hsts {{ default ""; "" $corpus_hsts; }}
    # how long files may be kept: with a hash in the name forever, else as configured; errors never
    map $uri $corpus_hash {{ default 0; "~[.-](?=[0-9a-f]*[0-9])[0-9a-f]{{8,64}}\\.[A-Za-z0-9.]+$" 1; }}
    map "$status $corpus_hashes$corpus_hash" $corpus_told_cache {{
        default "";
        "~^(200|206|304) 11$" "public, max-age=31536000, immutable";
        "~^(200|206|304|50[234]) " $corpus_cache;
    }}
    map $uri $corpus_page_cache {{ default ""; "~(/|\\.html|/[^./]*)$" no-cache; }}
    # what begins with a dot is not for the public
    map $uri $corpus_hidden {{ default 0; "~/\\.(?!well-known(/|$))" 1; }}

    include "{folder}/fallback.conf";
    include "{folder}/sites/*.conf";
}}
"""

_NOBODY = """\
server {{
    listen {listen} default_server;
    server_name _;
    location / {{ return 404; }}
    error_page 404 /.corpus/missing;
    location = /.corpus/missing {{ internal; default_type text/html; alias "{folder}/pages/missing.html"; }}
}}
"""

_NOBODY_SECURE = """\
server {{
    listen {listen} ssl{flag} default_server;
    server_name _;
{line}    ssl_reject_handshake on;
}}
"""


class Nginx:
    """The nginx process of a projects root, run by its supervisor.

    :param roots: of the machine
    :param supervisor: that runs it
    :param folder: of the front, absolute
    """

    def __init__(self, roots: Roots, supervisor: Supervisor, folder: Path) -> None:
        self._roots, self._supervisor, self._folder = roots, supervisor, folder

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Change sites one at a time: one that nginx refuses must not be in the way of another's."""
        self.prepare()
        with (self._folder / "turn").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def prepare(self) -> None:
        """Make folders and write everything that is not a site."""
        nameable("corpus.projects_root", str(self._folder))
        for name in ("", "sites", "temporary", "closed", "pages", "challenges", "nothing", "logs"):
            (self._folder / name).mkdir(mode=0o711, parents=True, exist_ok=True)
        nginx = processes.which("nginx")
        mime = Path("/etc/nginx/mime.types")
        if not mime.exists():
            raise CorpusError(f"{mime} is missing: install nginx again ({nginx} is there).")
        pages.write(self._folder / "pages")
        user = f"user {web_user()};\n" if os.geteuid() == 0 else ""
        files.write(
            self._folder / "nginx.conf",
            _MAIN.format(projects=self._roots.projects, folder=self._folder, user=user, mime=mime),
            0o600,
        )

    def sites(self) -> list[Site]:
        """Return the sites of all projects."""
        found = [Site.read(path) for path in sorted((self._folder / "sites").glob("*.conf"))]
        return [site for site in found if site]

    def _write_fallback(self) -> None:
        """Answer for names that no project has: else nginx would answer with the first project's pages."""
        plain: dict[str, bool] = {}
        secure: dict[str, bool] = {}
        for site in self.sites():
            for listens, known in ((site.plain, plain), (site.secure, secure)):
                for listen in listens:
                    known[listen] = known.get(listen, False) or not site.names
        text = "# Written by corpus: names that no project has.\n"
        text += "".join(_NOBODY.format(listen=listen, folder=self._folder) for listen, has in plain.items() if not has)
        if version() >= (1, 19, 4):
            flag, line = http2()
            text += "".join(
                _NOBODY_SECURE.format(listen=listen, flag=flag, line=line) for listen, has in secure.items() if not has
            )
        files.write(self._folder / "fallback.conf", text, 0o600)

    def tell(self) -> None:
        """Reload a running nginx, or start it; a configuration it refuses is not given to it.

        Returns when no worker takes new requests with the configuration from before: one that does would send them
        to processes that are stopped next.
        """
        self._write_fallback()
        argv = [processes.which("nginx"), "-e", f"{self._folder}/error.log", "-c", f"{self._folder}/nginx.conf"]
        tested = processes.run([*argv, "-t", "-q"], check=False)
        if tested.status:
            said = re.search(r"\[emerg\] \S+ (.+)", tested.errors)
            raise CorpusError(f"The web server refuses its configuration: {said[1] if said else tested.last_words}")
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
        self._supervisor.run_group(_CARETAKER, [self._caretaker()])

    def _caretaker(self) -> Program:
        argv = (sys.executable, "-S", caretaker.__file__, str(Path(corpus.__file__).resolve().parent.parent))
        log = self._folder / "caretaker.log"
        return Program("caretaker", (*argv, str(self._roots.projects)), log, drain=2, start_seconds=0)

    def runs(self) -> bool:
        """Tell whether its supervisor keeps it running."""
        return any(process.pid for process in self._supervisor.processes(_GROUP))

    def drain(self, seconds: float) -> bool:
        """Wait until the requests that the configuration from before took are answered.

        :param seconds: at most
        :returns: whether they are
        """
        running = [process for process in self._supervisor.processes(_GROUP) if process.pid]
        workers = _workers(running[0].pid) if running else []
        return any(not any(_ENDING in _title(worker) for worker in workers) for _ in poll(seconds))


@functools.cache
def version() -> tuple[int, ...]:
    """Return the version of the nginx that is installed."""
    said = processes.run([processes.which("nginx"), "-v"], check=False)
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said.output + said.errors)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def http2() -> tuple[str, str]:
    """Return how HTTP/2 is asked for: behind ``listen``, and since 1.25.1 on a line of its own."""
    return ("", "    http2 on;\n") if version() >= (1, 25, 1) else (" http2", "")


def web_user() -> str:
    """Return the user that nginx's workers run as when its master is root."""
    for name in ("www-data", "nginx", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return "root"


def store(folder: Path, name: str) -> certificates.Store:
    """Return the certificates of a project."""
    return certificates.Store(folder / "certificates" / name)


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
