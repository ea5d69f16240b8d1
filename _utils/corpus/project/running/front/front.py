"""The web front: one nginx for all projects of a machine, told by host name which project is meant.

A project's site names its running release's ports, or the folder of its files. Changing it is a graceful reload:
requests under way are finished by the workers that took them.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import ConfigurationError, CorpusError
from corpus.project.keeping import trees
from corpus.project.keeping.lock import now
from corpus.project.layout import Layout, Roots
from corpus.project.running import health
from corpus.project.running.front import access, address, certificates, maintenance, nginx, pages, served_files, tls
from corpus.project.running.front.authority import Authority, HttpSolver
from corpus.project.running.front.site import WHICH, Site
from corpus.project.running.supervision import Supervisor, poll

_UPLOAD = re.compile(r"0|[1-9][0-9]{0,8}[kKmMgG]?")
_PATIENCE = 900  # seconds in which a refused order is not repeated by deployments: authorities count them
_DAY = 24 * 3600


def check(cfg: Mapping[str, Any]) -> None:
    """Find now what nginx, a browser or a visitor would stumble over.

    :raises ConfigurationError: the first that cannot be
    """
    address.check_names(cfg)
    tls.check(cfg)
    served_files.static_files(cfg, Path(cfg["project_root"]))
    pages.check(cfg["maintenance_page"])
    if not _UPLOAD.fullmatch(str(cfg["upload_limit"])):
        raise ConfigurationError(
            f"upload_limit: {str(cfg['upload_limit'])[:60]!r} is no size: write it as 64m, 512k or 2g; 0 is no limit."
        )
    if not 1 <= cfg["proxy_timeout"] <= _DAY:
        raise ConfigurationError(f"proxy_timeout: {cfg['proxy_timeout']:g} is not between 1 and {_DAY} seconds.")


class Front:
    """What a machine's projects show to the world.

    :param roots: of the machine
    :param supervisor: that runs nginx
    """

    def __init__(self, roots: Roots, supervisor: Supervisor) -> None:
        self._folder = roots.own / "front"
        self._nginx = nginx.Nginx(roots, supervisor, self._folder)

    def site(self, layout: Layout) -> Path:
        """Where the site of a project is written."""
        return self._folder / "sites" / f"{layout.name}.conf"

    def _store(self, layout: Layout) -> certificates.Store:
        return certificates.Store(self._folder / "certificates" / layout.name)

    # what is served

    def point(self, layout: Layout, cfg: Mapping[str, Any], release: str, ports: Sequence[int]) -> bool:
        """Serve a release: by its web processes, in turn, or its files. Returns when the front does so.

        With TLS the best certificate at hand is used; :meth:`certify` gets a better one. A project that is closed for
        maintenance stays closed.

        :param ports: loopback ports of its web processes; empty: it has none
        :returns: whether the project is served at all (neither process nor files: it is not)
        :raises CorpusError: nginx refuses the site, its port is taken, or it does not come up; the old site stays
        """
        if not ports and served_files.document_root(cfg, layout.project) is None and not cfg["static_files"]:
            return False
        site = self._described(layout, cfg, release, tuple(ports))
        with self._nginx.turn():
            self.check_free(layout, cfg)
            self._show_closed_page(layout, cfg)
            self._replace(layout, site, cfg)
        return True

    def _described(self, layout: Layout, cfg: Mapping[str, Any], release: str, ports: tuple[int, ...]) -> Site:
        """Say what the front must know of a project, with the certificate that is there."""
        check(cfg)
        names = tuple(address.check_names(cfg))
        settings = tls.Settings.configured(cfg)
        root = served_files.document_root(cfg, layout.project)
        static = served_files.static_files(cfg, layout.project)
        access.let_in(static, Path(cfg["data_root"]).resolve())
        own_user = os.geteuid() == 0 and cfg["user"] != "root"
        log = access.log(self._folder, layout, cfg["group"]) if cfg["access_log"] else None
        return Site(
            name=layout.name,
            release=release,
            ports=ports,
            names=names,
            plain=address.listens(cfg, cfg["http_port"]),
            secure=address.listens(cfg, cfg["https_port"]) if settings else (),
            https_port=cfg["https_port"],
            certificate=self._certificate(layout, names, settings) if settings else "",
            acme=settings.acme if settings else None,
            redirect=bool(settings and settings.redirect),
            hsts=settings.hsts if settings else "",
            root="" if root is None else str(root),
            base=str(layout.project.resolve()),
            static=tuple(static),
            earlier=self._earlier(layout, release),
            fallback=bool(cfg["spa"]),
            links="if_not_owner" if own_user else "on",
            headers=bool(cfg["security_headers"]),
            upload_limit=str(cfg["upload_limit"]),
            timeout=float(cfg["proxy_timeout"]),
            proxies=tuple(address.check_proxies(cfg)),
            retry_after=int(cfg["maintenance_retry"]),
            log=str(log) if log else "",
        )

    def _earlier(self, layout: Layout, release: str) -> str:
        """Return where the tree of the release that is served until now will be kept, or an empty text."""
        before = Site.read(self.site(layout))
        if before is None:
            return ""
        if before.release == release:
            return before.earlier
        return str(layout.tree(before.release).resolve())

    def _certificate(self, layout: Layout, names: Sequence[str], settings: tls.Settings) -> str:
        """Return the id of the best certificate at hand."""
        store = self._store(layout)
        if settings.pair:
            settings.pair.check_fit(names)
            return store.keep(settings.pair, certificates.GIVEN)
        assert settings.acme is not None
        return store.best(names, settings.acme.directory) or store.own(names)

    def _text(self, layout: Layout, site: Site) -> str:
        store = self._store(layout)
        pair = (store.certificate(site.certificate), store.key(site.certificate)) if site.certificate else None
        proven = not site.certificate.startswith(certificates.SELF_SIGNED)
        return site.text(self._folder, pair, proven, nginx.http2())

    def _replace(self, layout: Layout, site: Site, cfg: Mapping[str, Any] | None = None) -> None:
        """Write a site and have nginx serve it, or leave everything as it was.

        :param cfg: to ask through the front whether it does; None: nginx's word is enough
        """
        path = self.site(layout)
        before = path.read_text(encoding="utf-8") if path.exists() else None
        files.write(path, self._text(layout, site), 0o600)
        try:
            self._nginx.tell()
            if cfg is not None:
                self._await(cfg, f"{layout.name} {site.release}")
        except CorpusError:
            self._put(path, before)
            with contextlib.suppress(CorpusError):  # the first complaint is the one to hear
                self._nginx.tell()
            raise
        old = Site.parsed(before) if before else None
        self._store(layout).tidy({site.certificate, old.certificate if old else ""})

    @staticmethod
    def _put(path: Path, text: str | None) -> None:
        if text is None:
            path.unlink(missing_ok=True)
        else:
            files.write(path, text, 0o600)

    def check_free(self, layout: Layout, cfg: Mapping[str, Any]) -> None:
        """Check that no other project answers for a name at an address.

        :raises ConfigurationError: one does; nginx would serve only one of the two
        """
        names = {name.lower() for name in address.check_names(cfg)}
        plain = set(address.listens(cfg, cfg["http_port"]))
        secure = set(address.listens(cfg, cfg["https_port"])) if cfg["tls"] else set()
        for other in self._nginx.sites():
            if other.name == layout.name:
                continue
            for listen in sorted(plain & set(other.secure) | secure & set(other.plain)):
                raise ConfigurationError(
                    f"{listen} is for http in one project and for https in another: give {layout.name!r} other ports "
                    f"than {other.name!r}."
                )
            same = sorted((plain | secure) & {*other.plain, *other.secure})
            if same and not names and not other.names:
                raise ConfigurationError(
                    f"{other.name!r} answers at {same[0]} for every name already: "
                    f"give {layout.name!r} a domain, or another http_port and https_port."
                )
            taken = names & {name.lower() for name in other.names}
            if same and taken:
                raise ConfigurationError(f"domain: {min(taken)} at {same[0]} is the project {other.name!r} already.")

    def put_back(self, layout: Layout, text: str | None) -> None:
        """Serve the site that was there before; None: there was none."""
        with self._nginx.turn():
            self._put(self.site(layout), text)
            self._nginx.tell()

    def forget(self, layout: Layout) -> None:
        """Serve a project no more."""
        if self.site(layout).exists():
            self.put_back(layout, None)

    def erase(self, layout: Layout) -> None:
        """Forget a project with all that is kept for it: certificates, pages, logs."""
        self.forget(layout)
        for kind in ("certificates", "pages", "logs"):
            trees.remove(self._folder / kind / layout.name)
        (self._folder / "closed" / layout.name).unlink(missing_ok=True)
        self._problem(layout).unlink(missing_ok=True)

    def serves(self, layout: Layout, cfg: Mapping[str, Any]) -> str | None:
        """Return the id of the release that the front serves for a project now, or None."""
        try:
            name, _, release = self._which(cfg).partition(" ")
        except (OSError, CorpusError):
            return None
        return release if name == layout.name else None

    def _which(self, cfg: Mapping[str, Any]) -> str:
        import http.client

        try:
            answer = health.ask(address.loopback(cfg), cfg["http_port"], WHICH, address.host(cfg), timeout=2)
        except http.client.HTTPException as err:
            raise CorpusError("what answers is no web front") from err
        return answer.body if answer.status == 200 else ""

    def _await(self, cfg: Mapping[str, Any], expected: str) -> None:
        for _ in poll(10, 0.02):
            try:
                if self._which(cfg) == expected:
                    return
            except (OSError, CorpusError):
                pass
        raise CorpusError(
            f"The web front does not serve the project at port {cfg['http_port']}: is the port taken? "
            f"See {self._folder}/error.log."
        )

    def prove(self, layout: Layout, cfg: Mapping[str, Any], given: health.Check) -> None:
        """Ask a project through the front whether it is well; nothing while it is closed.

        :raises CorpusError: it is not
        """
        site = Site.read(self.site(layout))
        if site is None or self.closed(layout):
            return
        secure = bool(site.secure)
        health.wait(given, address.loopback(cfg), cfg["https_port" if secure else "http_port"], tls=secure)

    def awake(self, layout: Layout) -> None:
        """Have nginx run when a project has a site: a machine that was restarted may have none."""
        if self.site(layout).exists():
            with self._nginx.turn():
                self._nginx.tell()

    def runs(self) -> bool:
        """Tell whether nginx runs."""
        return self._nginx.runs()

    def drain(self, seconds: float) -> bool:
        """Wait until the requests that the configuration from before took are answered.

        :param seconds: at most
        :returns: whether they are
        """
        return self._nginx.drain(seconds)

    def rotate_logs(self) -> None:
        """Put logs away that have become large."""
        logs = [self._folder / "error.log", *sorted(self._folder.glob("logs/*/access.log"))]
        away = [path for path in logs if access.rotate(path)]
        if away:
            with self._nginx.turn():
                self._nginx.tell()  # a reload opens them again

    # certificates

    def _problem(self, layout: Layout) -> Path:
        return self._folder / "certificates" / f"{layout.name}.problem.json"

    def certify(self, layout: Layout, force: bool = False) -> str:
        """Get a certificate by ACME when the site wants one and has none that lasts. What serves goes on in any case.

        :param force: ask again, although the authority refused a moment ago
        :returns: what went wrong, one sentence; or an empty text
        """
        site = Site.read(self.site(layout))
        if site is None or site.acme is None:
            self._problem(layout).unlink(missing_ok=True)
            return ""
        if not self._is_due(layout, site) and not (force and site.certificate.startswith(certificates.SELF_SIGNED)):
            return ""
        known = files.read_json(self._problem(layout), {})
        wish = [sorted(site.names), site.acme.directory]
        if known.get("wish") == wish and not force and _age(known["when"]) < _PATIENCE:
            return f"{known['words']} Asked at {known['when']}; mc_project.renew_certificates {layout.name} asks again."
        try:
            pair = Authority(site.acme, self._folder / "acme").issue(
                [name.lower() for name in site.names], HttpSolver(self._folder / "challenges")
            )
            identity = self._store(layout).keep(pair, certificates.ISSUED, site.acme.directory)
            self._use(layout, identity)
        except (CorpusError, OSError) as err:
            words = f"No certificate for {', '.join(site.names)}: {err}"
            files.write_json(self._problem(layout), {"wish": wish, "words": words, "when": now()})
            return words
        self._problem(layout).unlink(missing_ok=True)
        return ""

    def _is_due(self, layout: Layout, site: Site) -> bool:
        if not site.certificate or site.certificate.startswith(certificates.SELF_SIGNED):
            return True
        try:
            due = self._store(layout).pair(site.certificate).due()
        except (OSError, ConfigurationError):
            return True
        return due <= datetime.datetime.now(datetime.timezone.utc)

    def _use(self, layout: Layout, identity: str) -> None:
        """Serve a project with another certificate, and change nothing else."""
        import dataclasses

        with self._nginx.turn():
            site = Site.read(self.site(layout))
            if site is not None and site.certificate != identity:
                self._replace(layout, dataclasses.replace(site, certificate=identity))

    def install(self, layout: Layout, cfg: Mapping[str, Any]) -> bool:
        """Serve a project with the certificate that its configuration gives; return whether that is another one.

        :raises ConfigurationError: it cannot be served
        """
        site = Site.read(self.site(layout))
        tls.check(cfg)
        settings = tls.Settings.configured(cfg)
        if site is None or settings is None or settings.pair is None or not site.secure:
            return False
        settings.pair.check_fit(site.names)
        identity = self._store(layout).keep(settings.pair, certificates.GIVEN)
        self._use(layout, identity)
        return identity != site.certificate

    def certificate(self, layout: Layout) -> dict[str, Any] | None:
        """Return facts of the certificate that a project is served with: names, issuer, until when, what went wrong."""
        site = Site.read(self.site(layout))
        if site is None or not site.certificate:
            return None
        try:
            pair = self._store(layout).pair(site.certificate)
        except OSError:
            return None
        return {
            "from": {"given": "configuration", "acme": "acme", "self": "self-signed"}[site.certificate.split("-")[0]],
            "names": pair.names(),
            "issuer": pair.issuer(),
            "until": f"{pair.validity()[1]:%Y-%m-%dT%H:%M:%SZ}",
            "problem": files.read_json(self._problem(layout), {}).get("words"),
        }

    # maintenance

    def _sign(self, layout: Layout) -> maintenance.Sign:
        (self._folder / "closed").mkdir(mode=0o711, parents=True, exist_ok=True)
        return maintenance.Sign(self._folder / "closed" / layout.name)

    def _show_closed_page(self, layout: Layout, cfg: Mapping[str, Any]) -> None:
        folder = self._folder / "pages" / layout.name
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        pages.write_closed(folder, layout.project, cfg["maintenance_page"])

    def close(
        self,
        layout: Layout,
        cfg: Mapping[str, Any],
        by: str = maintenance.DEPLOYMENT,
        who: str = "",
        reason: str = "",
    ) -> bool:
        """Answer every request to a project with its maintenance page, from now on, until it is opened.

        :param by: a person or a deployment; both can, and it is open when both opened it
        :returns: whether that changed anything
        :raises ConfigurationError: the page that it chose is none
        """
        self._show_closed_page(layout, cfg)
        return self._sign(layout).hang(by, who, reason)

    def open(self, layout: Layout, cfg: Mapping[str, Any], by: str = maintenance.DEPLOYMENT) -> bool:
        """Let requests through again, when nobody else closed the project; return whether that changed anything."""
        return self._sign(layout).take_down(by)

    def closed(self, layout: Layout) -> dict[str, dict[str, Any]]:
        """Return who closed a project: ``{person or deployment: {who, since, reason}}``; empty when it is open."""
        return maintenance.Sign(self._folder / "closed" / layout.name).hung_by()


def _age(when: str) -> float:
    then = datetime.datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    return (datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()
