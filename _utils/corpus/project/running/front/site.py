"""The site of a project: what nginx is told about it, as text that carries its own facts.

Whoever has the text has the site: after a rollback, and for the caretaker that renews a certificate.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus.project.running.front.served_files import Served
from corpus.project.running.front.tls import Acme

#: answers the id of the release that the front serves, to this machine only
WHICH = "/.corpus/release"
#: below it an authority looks for the proof of a host name (RFC 8555, 8.3)
CHALLENGES = "/.well-known/acme-challenge/"

_FACTS = "# facts: "
_ASSETS = "js|mjs|cjs|css|map|json|xml|txt|ico|png|jpe?g|gif|webp|avif|svg|woff2?|ttf|otf|eot|wasm|mp4|webm|pdf|zip|gz"


@dataclass(frozen=True)
class Site:
    """What the front knows of a project.

    :param name: of the project
    :param release: id of the release that it serves
    :param ports: loopback ports of the web processes; empty: files are served
    :param names: host names; empty: it answers to any
    :param plain: where nginx listens for http, as it writes that
    :param secure: the same for https; empty: no TLS
    :param https_port: that people are sent to
    :param certificate: id in the project's store; empty without TLS
    :param acme: how its certificate is renewed; None: a person does that
    :param redirect: whether http is sent to https
    :param hsts: value of Strict-Transport-Security, or empty
    :param root: folder that is served when there are no ports, absolute
    :param base: folder that no link may lead out of, absolute
    :param static: what is served as files beside that
    :param earlier: tree of the release before, absolute, or empty: visitors of its pages still ask for its files
    :param fallback: whether paths without a file get the index page (a single-page application)
    :param links: nginx's word for which links may be followed
    :param headers: whether answers get headers that an application forgot
    :param upload_limit: as nginx writes it
    :param timeout: seconds an application may be silent
    :param proxies: networks whose word about a client counts
    :param retry_after: seconds after which a client asks a closed project again
    :param log: file of the requests, absolute; empty: none is kept
    """

    name: str
    release: str
    ports: tuple[int, ...]
    names: tuple[str, ...]
    plain: tuple[str, ...]
    secure: tuple[str, ...]
    https_port: int
    certificate: str
    acme: Acme | None
    redirect: bool
    hsts: str
    root: str
    base: str
    static: tuple[Served, ...]
    earlier: str
    fallback: bool
    links: str
    headers: bool
    upload_limit: str
    timeout: float
    proxies: tuple[str, ...]
    retry_after: int
    log: str

    @classmethod
    def read(cls, path: Path) -> Site | None:
        """Return the site that was written to a file; None when there is none, or another version wrote it."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return cls.parsed(text)

    @classmethod
    def parsed(cls, text: str) -> Site | None:
        """Return the site that a text carries, or None."""
        lines = [line[len(_FACTS) :] for line in text.split("\n") if line.startswith(_FACTS)]
        try:
            facts: dict[str, Any] = json.loads("".join(lines))
            facts = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
            facts["static"] = tuple(Served(**served) for served in facts["static"])
            if facts["acme"]:
                facts["acme"] = Acme(**{**facts["acme"], "contact": tuple(facts["acme"]["contact"])})
            return cls(**facts)
        except (ValueError, TypeError, KeyError):
            return None

    def text(self, folder: Path, certificate: tuple[Path, Path] | None, proven: bool, http2: tuple[str, str]) -> str:
        """Return what nginx is told.

        :param folder: of the front, absolute
        :param certificate: files of the certificate and the key
        :param proven: whether browsers can trust it; while they cannot, nobody is sent to https
        :param http2: what its nginx writes behind ``listen``, and on a line of its own, for HTTP/2
        """
        facts = json.dumps(asdict(self), sort_keys=True)  # nginx takes no line above 4 KiB
        head = f"# Written by corpus for the project {self.name}, release {self.release}.\n"
        head += "".join(f"{_FACTS}{facts[start : start + 1000]}\n" for start in range(0, len(facts), 1000))
        if self.ports:
            head += f"upstream corpus-{self.name} {{\n"
            head += "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in self.ports)
            head += "}\n"
        head += self._trust()
        content = self._content(folder)
        sent_on = self.secure and self.redirect and proven
        plain = self._redirect() if sent_on else content
        challenges = self._challenges(folder) if self.acme else ""
        servers = self._server(folder, self.plain, "", "", challenges + plain)
        if self.secure and certificate:
            own = f'    ssl_certificate "{certificate[0]}";\n    ssl_certificate_key "{certificate[1]}";\n{http2[1]}'
            servers += self._server(folder, self.secure, f" ssl{http2[0]}", own, content, self.hsts if proven else "")
        return head + servers

    @property
    def _variable(self) -> str:
        """The project's name as part of a variable's, where only letters, digits and ``_`` can stand."""
        return self.name.replace("_", "__").replace("-", "_h")

    def _trust(self) -> str:
        if not self.proxies:
            return ""
        name = self._variable
        return (
            f"geo $realip_remote_addr $corpus_trusts_{name} {{\n    default 0;\n"
            + "".join(f"    {network} 1;\n" for network in self.proxies)
            + "}\n"
            + f'map "$corpus_trusts_{name} $http_x_forwarded_proto" $corpus_scheme_{name} {{\n'
            + '    default $scheme;\n    "1 https" https;\n    "1 http" http;\n}\n'
            + f'map "$corpus_trusts_{name} $http_x_forwarded_port" $corpus_port_{name} {{\n'
            + '    default $server_port;\n    "~^1 (?<corpus_given>[0-9]{1,5})$" $corpus_given;\n}\n'
        )

    def _server(
        self, folder: Path, listens: tuple[str, ...], flags: str, own: str, content: str, hsts: str = ""
    ) -> str:
        default = "" if self.names else " default_server"
        addresses = sorted({listen.rpartition(":")[0].strip("[]") for listen in listens} - {"*", "0.0.0.0", "::"})  # noqa: S104 - told apart
        allowed = "".join(f" allow {address};" for address in dict.fromkeys(["127.0.0.1", "::1", *addresses]))
        lines = [f"    listen {listen}{flags}{default};" for listen in listens]
        lines += [f"    server_name {' '.join(self.names) or '_'};", own.rstrip("\n")]
        lines += [f"    set_real_ip_from {network};" for network in self.proxies]
        if self.proxies:
            lines += ["    real_ip_header X-Forwarded-For;", "    real_ip_recursive on;"]
        lines += [
            f'    set $corpus_cache ""; set $corpus_hashes 0; set $corpus_retry ""; set $corpus_hsts "{hsts}";',
            f"    client_max_body_size {self.upload_limit};",
            f'    access_log "{self.log}" corpus;' if self.log else "    access_log off;",
            "    error_page 502 504 /.corpus/silent;",
            "    error_page 503 /.corpus/closed;",
            f"    location = {WHICH} {{{allowed} deny all;",
            f'        default_type text/plain; return 200 "{self.name} {self.release}"; }}',
            '    location = /.corpus/silent { internal; ssi on; set $corpus_cache "no-store";',
            f'        default_type text/html; alias "{folder}/pages/silent.html"; }}',
            f'    location = /.corpus/closed {{ internal; set $corpus_cache "no-store"; set $corpus_retry {self.retry_after};',
            f'        default_type text/html; alias "{folder}/pages/{self.name}/closed.html"; }}',
        ]
        lines += self._headers()
        return "server {\n" + "\n".join(line for line in lines if line) + "\n" + content + "}\n"

    def _headers(self) -> list[str]:
        always = {
            "X-Request-ID": "$corpus_told_request",
            "Strict-Transport-Security": "$corpus_told_hsts",
            "Retry-After": "$corpus_retry",
            "Cache-Control": "$corpus_told_cache",
        }
        if self.headers:
            always |= {
                "X-Content-Type-Options": "$corpus_nosniff",
                "Referrer-Policy": "$corpus_referrer",
                "X-Frame-Options": "$corpus_frames",
            }
        return [f"    add_header {name} {value} always;" for name, value in always.items()]

    def _gate(self, folder: Path) -> str:
        return f'        if (-f "{folder}/closed/{self.name}") {{ return 503; }}\n'

    def _redirect(self) -> str:
        port = "" if self.https_port == 443 else f":{self.https_port}"
        return f"    location / {{ return 301 https://$host{port}$request_uri; }}\n"

    @staticmethod
    def _challenges(folder: Path) -> str:
        return (
            f'    location ^~ {CHALLENGES} {{ default_type text/plain; alias "{folder}/challenges/"; '
            "disable_symlinks on; }\n"
        )

    def _content(self, folder: Path) -> str:
        gate = self._gate(folder)
        beyond = "@$corpus_application" if self.ports else "=404"
        parts = [self._static(served, gate, beyond) for served in self.static]
        if self.ports:
            parts.append(self._application())
            if not any(served.prefix == "/" for served in self.static):
                parts.append(f"    location / {{\n{gate}        try_files /none {beyond};\n    }}\n")
        elif self.root and not any(served.prefix == "/" for served in self.static):
            parts.append(self._files(gate, folder))
        return "".join(parts)

    def _application(self) -> str:
        name = self._variable
        scheme, port = (
            (f"$corpus_scheme_{name}", f"$corpus_port_{name}") if self.proxies else ("$scheme", "$server_port")
        )
        text = ""
        for place, more in (("buffered", ""), ("unbuffered", "        proxy_buffering off;\n        gzip off;\n")):
            text += (
                f"    location @{place} {{\n"
                '        set $corpus_cache ""; set $corpus_hashes 0;\n'
                f"{more}"
                f"        proxy_read_timeout {int(self.timeout * 1000)}ms;\n"
                f"        proxy_send_timeout {int(self.timeout * 1000)}ms;\n"
                "        proxy_set_header Host $http_host;\n"
                "        proxy_set_header X-Real-IP $remote_addr;\n"
                "        proxy_set_header X-Forwarded-For $remote_addr;\n"
                f"        proxy_set_header X-Forwarded-Proto {scheme};\n"
                "        proxy_set_header X-Forwarded-Host $http_host;\n"
                f"        proxy_set_header X-Forwarded-Port {port};\n"
                '        proxy_set_header Forwarded "";\n'
                '        proxy_set_header Proxy "";\n'
                "        proxy_set_header X-Request-ID $corpus_request;\n"
                "        proxy_set_header Upgrade $http_upgrade;\n"
                "        proxy_set_header Connection $corpus_connection;\n"
                f"        proxy_pass http://corpus-{self.name};\n"
                "    }\n"
            )
        return text

    def _static(self, served: Served, gate: str, beyond: str) -> str:
        place = f"location ^~ {served.prefix}" if served.prefix.endswith("/") else f"location = {served.prefix}"
        age = "" if served.max_age is None else f"public, max-age={served.max_age}"
        inner = (
            f"{gate}        if ($corpus_hidden) {{ return 404; }}\n"
            f'        set $corpus_cache "{age}"; set $corpus_hashes {int(served.hashed)};\n'
            f'        disable_symlinks {self.links} "from={served.base}";\n'
            "        gzip_static on;\n"
        )
        if served.hashed and self.earlier and served.prefix.endswith("/") and served.base == self.base:
            # a name with a hash means one content: a page of the release before may still ask for its own
            below = Path(served.path).relative_to(self.base)
            places = [f'"{Path(base) / below}/$corpus_rest"' for base in (self.base, self.earlier)]
            inner = inner.replace(f'"from={served.base}"', f'"from={Path(self.base).parent}"')
            return (
                f"    {place} {{\n    location ~ ^{re.escape(served.prefix)}(?<corpus_rest>.+)$ {{\n{inner}"
                f"        root /;\n        try_files {' '.join(places)} {beyond};\n    }}\n"
                f"{gate}        try_files /none {beyond};\n    }}\n"
            )
        if served.prefix.endswith("/"):
            way = f'        alias "{served.path.rstrip("/")}/";\n        try_files $uri {beyond};\n'
        else:
            path = Path(served.path)
            way = f'        root "{path.parent}";\n        try_files "/{path.name}" {beyond};\n'
        return f"    {place} {{\n{inner}{way}    }}\n"

    def _files(self, gate: str, folder: Path) -> str:
        inner = (
            f"{gate}        if ($corpus_hidden) {{ return 404; }}\n"
            f'        root "{self.root}";\n        index index.html;\n'
            f'        disable_symlinks {self.links} "from={self.base}";\n        gzip_static on;\n'
            "        set $corpus_cache $corpus_page_cache;\n"
        )
        text = (
            "    error_page 404 /404.html;\n    error_page 403 =404 /404.html;\n"
            f'    location = /404.html {{\n{gate}        root "{self.root}";\n'
            f'        disable_symlinks {self.links} "from={self.base}";\n'
            "        try_files /404.html @missing;\n    }\n"
            f'    location @missing {{ root "{folder}/pages"; try_files /missing.html =404; }}\n'
        )
        if not self.fallback:
            return text + f"    location / {{\n{inner}        try_files $uri $uri.html $uri/ =404;\n    }}\n"
        text += f"    location ~* \\.(?:{_ASSETS})$ {{\n{inner}        try_files $uri =404;\n    }}\n"
        return text + (
            f"    location / {{\n{inner}        try_files $uri $uri.html $uri/index.html /index.html =404;\n    }}\n"
        )
