"""The web process of a PHP application: php-fpm and an nginx of its own that speaks HTTP on ``$PORT``.

This file is a program. The installer copies it into the tree, so that a release carries it, and it needs nothing but
Python: ``php-web [-C nginx.conf] [-F fpm.conf] [-i php.ini] [document root]``. Called as ``heroku-php-nginx`` or
``heroku-php-apache2`` it understands their arguments. Both servers run as the user who starts it, with their files in
a private folder; when one of them ends, so does the other. On SIGTERM requests under way are finished first.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_START_SECONDS = 10

_FPM = """\
[global]
error_log = /proc/self/fd/2
daemonize = no
log_limit = 8192
process_control_timeout = 1d

[web]
{user}listen = {runtime}/fpm.sock
listen.mode = 0600
catch_workers_output = yes
decorate_workers_output = no
clear_env = no
php_admin_flag[fastcgi.logging] = off
{pool}
{included}
"""

_NGINX = """\
daemon off;
{user}worker_processes 1;
pid {runtime}/nginx.pid;
error_log stderr warn;

events {{ worker_connections 1024; }}

http {{
  include {mime};
  default_type application/octet-stream;
  access_log off;
  sendfile on;
  tcp_nopush on;
  server_tokens off;
  client_max_body_size 0;  # the front and PHP set limits
  client_body_temp_path {runtime}/body;
  proxy_temp_path {runtime}/proxy;
  fastcgi_temp_path {runtime}/fastcgi;
  uwsgi_temp_path {runtime}/uwsgi;
  scgi_temp_path {runtime}/scgi;

  # Only the front on this machine speaks to us.
  set_real_ip_from 127.0.0.1;
  real_ip_header X-Forwarded-For;
  map $http_x_forwarded_proto $https_when_forwarded {{ https on; }}

  upstream fpm {{ server unix:{runtime}/fpm.sock; }}

  server {{
    listen 127.0.0.1:{port};
    server_name _;
    root {root};
    index index.php index.html index.htm;

    # Nobody's business: dot files (but for ACME's), what tools keep beside a document root, sources and dumps.
    location ~ /\\.(?!well-known/) {{ return 404; }}
    location ~ ^/({hidden})(/|$) {{ return 404; }}
    location ~ ^/({uploads})/.*\\.(php[0-9]?|phtml|phar)(/|$) {{ return 404; }}

    location @php {{
      fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
      fastcgi_pass fpm;
{params}
    }}
    location @heroku-fcgi {{
      fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
      fastcgi_pass fpm;
{params}
    }}
    location ~ ^.+?\\.php(/|$) {{
      fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
      if (!-f $document_root$fastcgi_script_name) {{ return 404; }}
      fastcgi_pass fpm;
{params}
    }}
{included}
  }}
}}
"""

_PARAMS = """\
      fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_param DOCUMENT_ROOT $document_root;
      fastcgi_param DOCUMENT_URI $document_uri;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SERVER_PROTOCOL $server_protocol;
      fastcgi_param SERVER_SOFTWARE nginx;
      fastcgi_param GATEWAY_INTERFACE CGI/1.1;
      fastcgi_param REQUEST_SCHEME $scheme;
      fastcgi_param HTTPS $https_when_forwarded if_not_empty;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param REMOTE_PORT $remote_port;
      fastcgi_param SERVER_ADDR $server_addr;
      fastcgi_param SERVER_PORT $server_port;
      fastcgi_param SERVER_NAME $host;
      fastcgi_param HTTP_PROXY "";
      fastcgi_param REDIRECT_STATUS 200;
      fastcgi_buffers 16 16k;
      fastcgi_buffer_size 32k;
      fastcgi_read_timeout 3600;"""

_FRONT_CONTROLLER = """\
    location / { try_files $uri $uri/ /index.php$is_args$args; }"""
_FILES_ONLY = """\
    location / { try_files $uri $uri/ =404; }"""


class Refused(Exception):
    """The web process cannot start; the message says why."""


@dataclass(frozen=True)
class Call:
    """What the command line asks for; paths are relative to the tree.

    :param root: the document root, or None: as the installer found it
    :param nginx: lines for nginx's server block, instead of the rewriting to ``index.php``
    :param fpm: lines for php-fpm's pool
    :param ini: a php.ini that is read last
    """

    root: str | None = None
    nginx: str | None = None
    fpm: str | None = None
    ini: str | None = None


def understood(program: str, words: Sequence[str]) -> Call:
    """Read a command line, as Heroku's commands of that name would.

    :param program: the name that this was called by
    :raises Refused: it has an argument that nobody knows
    """
    options = {"-C": "nginx", "-F": "fpm", "-i": "ini"}
    silent = {"-l", "-p", "--test", "-t", "-v", "--verbose"}  # log files, a port, tests: not needed here
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in options or word in ("-l", "-p"):
            if not rest:
                raise Refused(f"{program}: {word} wants a value.")
            value = rest.pop(0)
            if word in options:
                found[options[word]] = value
        elif word in silent:
            continue
        elif word.startswith("-"):
            raise Refused(f"{program}: it has no option {word}.")
        elif "root" in found:
            raise Refused(f"{program}: one document root, not {found['root']} and {word}.")
        else:
            found["root"] = word
    if program == "heroku-php-apache2" and "nginx" in found:
        _say(f"{found.pop('nginx')} is for Apache, and nginx serves here: it is not read. Use heroku-php-nginx -C.")
    return Call(**found)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _inside(tree: Path, name: str, what: str) -> Path:
    path = (tree / name).resolve()
    if path != tree.resolve() and tree.resolve() not in path.parents:
        raise Refused(f"{what}: {name} leads out of the application's folder.")
    if not path.exists():
        raise Refused(f"{what}: there is no {name} in the application's folder.")
    return path


def _quoted(path: Path | str) -> str:
    """Write a path for nginx's configuration, in which a variable cannot be escaped."""
    text = str(path)
    if any(sign in text for sign in '"\\$\n\r'):
        raise Refused(f"{text!r} has a character that nginx cannot name.")
    return f'"{text}"'


def configure(tree: Path, settings: dict[str, Any], call: Call, port: int, runtime: Path) -> None:
    """Write what php-fpm and nginx read into their private folder."""
    root = _inside(tree, call.root or settings["document_root"], "document root")
    if not root.is_dir():
        raise Refused(f"document root: {call.root or settings['document_root']} is no folder.")
    if call.nginx:
        included = f"    include {_quoted(_inside(tree, call.nginx, '-C'))};"
    else:
        controller = settings["front_controller"] and (root / "index.php").is_file()
        included = _FRONT_CONTROLLER if controller else _FILES_ONLY
    privileged = os.geteuid() == 0
    mime = next(path for path in ("/etc/nginx/mime.types", "/usr/local/etc/nginx/mime.types") if os.path.exists(path))
    (runtime / "nginx.conf").write_text(
        _NGINX.format(
            user="user root root;\n" if privileged else "",
            runtime=runtime,
            mime=mime,
            port=port,
            root=_quoted(root),
            hidden="|".join(settings["hidden"] if root == tree.resolve() else [r"composer\.(json|lock)"]),
            uploads="|".join(_below(root, tree, settings["uploads"]) or ["(?!)"]),
            params=_PARAMS,
            included=included,
        )
    )
    fpm = f"include = {_inside(tree, call.fpm, '-F')}" if call.fpm else ""
    (runtime / "fpm.conf").write_text(
        _FPM.format(
            user="user = root\ngroup = root\n" if privileged else "",
            runtime=runtime,
            pool="\n".join(f"{name} = {value}" for name, value in settings["pool"].items()),
            included=fpm,
        )
    )


def _below(root: Path, tree: Path, folders: Sequence[str]) -> list[str]:
    """Return, as nginx's expressions, the addresses at which folders of the tree are served."""
    prefix = "" if root == tree.resolve() else f"{root.relative_to(tree.resolve())}/"
    served = [folder[len(prefix) :] for folder in folders if folder.startswith(prefix)]
    return [folder.replace(".", "\\.") for folder in served if folder]


#: what nginx and php-fpm say of themselves, and nobody who reads an application's log wants to know
_CHATTER = (
    "NOTICE: fpm is running",
    "NOTICE: ready to handle connections",
    "NOTICE: exiting, bye-bye!",
    "NOTICE: Finishing",
    "systemd monitor",
    "[notice]",
)


class Servers:
    """php-fpm and nginx, started together and ended together.

    :param settings: of the installer
    :param runtime: the private folder with their configuration
    :param environment: theirs
    """

    def __init__(self, settings: dict[str, Any], runtime: Path, environment: dict[str, str]) -> None:
        self._settings, self._runtime, self._environment = settings, runtime, environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._told: list[threading.Thread] = []
        self._last: dict[str, str] = {}
        self._asked_to_end = False
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_end = True

    def serve(self) -> int:
        """Serve until we are asked to end or one of the two ends; return an exit status."""
        rights = ["-R"] if os.geteuid() == 0 else []
        self._start("php-fpm", [self._settings["fpm"], "-F", "-O", *rights, "-y", str(self._runtime / "fpm.conf")])
        if not self._fpm_listens():
            return self._close("php-fpm")
        self._start(
            "nginx",
            [
                self._settings["nginx"],
                *("-p", str(self._runtime), "-e", "stderr", "-c", str(self._runtime / "nginx.conf")),
            ],
        )
        while not self._asked_to_end:
            died = next((name for name, process in self._running.items() if process.poll() is not None), None)
            if died:
                return self._close(died)
            time.sleep(0.1)
        self._finish("nginx")  # takes no new requests, and ends after the last answer
        self._finish("php-fpm")
        return self._close(None)

    def _start(self, name: str, argv: list[str]) -> None:
        def tied() -> None:
            os.setpgid(0, 0)  # Ctrl-C in a terminal reaches us alone
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            preexec_fn=tied,
        )
        assert process.stdout is not None
        reader = threading.Thread(target=self._pass_on, args=(name, process.stdout), daemon=True)
        reader.start()
        self._told.append(reader)
        self._running[name] = process

    def _fpm_listens(self) -> bool:
        socket = self._runtime / "fpm.sock"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and not self._asked_to_end:
            if self._running["php-fpm"].poll() is not None:
                return False
            if socket.exists():
                return True
            time.sleep(0.02)
        return socket.exists()

    def _finish(self, name: str) -> None:
        process = self._running[name]
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def _close(self, died: str | None) -> int:
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        for reader in self._told:
            reader.join(1)
        if died is None:
            return 0
        status = self._running[died].returncode
        if not self._asked_to_end:
            words = self._last.get(died, "")
            _say(f"{died} ended (status {status}), and so does the web process{f': {words}' if words else '.'}")
        return 1

    def _pass_on(self, name: str, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode("utf-8", "replace").rstrip("\n")
            if not any(words in text for words in _CHATTER):
                self._last[name] = text
                _say(text)


def main(argv: Sequence[str]) -> int:
    """Run the web process; return its exit status."""
    here = Path(argv[0]).absolute().parent.parent
    tree = here.parent
    runtime = None
    try:
        call = understood(Path(argv[0]).name, argv[1:])
        settings = json.loads((here / "settings.json").read_text(encoding="utf-8"))
        port = os.environ.get("PORT", "")
        if not port.isdecimal():
            raise Refused("PORT is not set: it says where to listen.")
        os.chdir(tree)
        environment = dict(os.environ)
        folders = [f"{here}/conf.d"]
        runtime = Path(tempfile.mkdtemp(prefix="php-web-"))
        if call.ini:
            (runtime / "ini").mkdir()
            shutil.copy(_inside(tree, call.ini, "-i"), runtime / "ini/application.ini")
            folders.append(f"{runtime}/ini")
        environment["PHP_INI_SCAN_DIR"] = ":" + ":".join(folders)  # the empty first: the distribution's own
        configure(tree, settings, call, int(port), runtime)
        return Servers(settings, runtime, environment).serve()
    except (Refused, OSError) as err:
        _say(str(err))
        return 1
    finally:
        if runtime is not None:
            shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
