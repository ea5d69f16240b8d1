"""Releases that another machine hands over: taken when they are trusted, kept whole or not at all, and deployed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from corpus import files, identifiers
from corpus.errors import CorpusError, ReleaseRefused, UsageError
from corpus.project import acceptance, configuration, deployment, initialization, projects, session, workflow
from corpus.project.git import hook, push
from corpus.project.handover import BLOCK, HAVE, SEND, Offer
from corpus.project.keeping import archives, artifacts, lock, trees
from corpus.project.keeping import manifest as manifests
from corpus.project.keeping.manifest import MANIFEST
from corpus.project.keeping.signature import Trust
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.session import Request

_ARCHIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.tar\.zst")


def receive(minion: Minion, name: str, stream: IO[bytes]) -> dict[str, Any]:
    """Take a release that is handed over, and deploy it when that is asked for.

    :param stream: what :mod:`corpus.project.handover` describes
    :returns: ``{name, result, comment, …}``; what went wrong was said to the other side already
    """
    try:
        push.environment_cleared()
        answer = _receive(minion, name, stream)
    except CorpusError as err:
        _say(str(err))
        return {"name": name, "result": False, "changes": {}, "comment": str(err)}
    if answer["result"]:
        _answer(hook.ACCEPTED)
    return answer


def _receive(minion: Minion, name: str, stream: IO[bytes]) -> dict[str, Any]:
    layout = Layout.existing(minion.roots, name)
    cfg = initialization.settled(minion, layout, configuration.stored_settings(layout))
    who = session.who()
    if cfg["operation_mode"] != workflow.FINAL:
        raise UsageError(f"{name} is in {cfg['operation_mode']} mode here: releases are promoted to final mode.")
    offer = Offer.read(stream)
    layout.incoming.mkdir(mode=0o700, exist_ok=True)
    with lock.held(layout, "receive a release", who, offer.wait):
        release = _Release.offered(minion, layout, cfg, offer)
        if release.is_kept(offer):
            _answer(HAVE)
        else:
            release.take(stream, cfg)
        _rotate(layout, cfg, release.id)
    if not offer.deploy:
        words = f"{release.archive} is kept: mc_project.deploy_project {name} release_artifacts_urls={release.url}"
        _say(words)
        return {"name": name, "result": True, "changes": {}, "comment": words}
    wanted = {"release_artifacts_urls": [release.url]}
    report = deployment.deploy(minion, name, Request(who=who, wait=offer.wait, settings=wanted))
    if report["result"]:
        projects.set_configuration(minion, name, None, wanted, who)
    return report


@dataclass(frozen=True)
class _Release:
    """A release that is offered, before its archive came.

    :param id: of staging's deployment
    :param archive: file name
    :param sha256: of the archive
    :param size: of the archive, bytes
    """

    layout: Layout
    id: str
    archive: str
    sha256: str
    size: int

    @classmethod
    def offered(cls, minion: Minion, layout: Layout, cfg: Mapping[str, Any], offer: Offer) -> _Release:
        """Look at an offer; keep its parts when the release is trusted and could run here.

        :raises ReleaseRefused: it is not, or could not
        """
        manifest = manifests.parsed(offer.parts[MANIFEST].decode("utf-8", "replace"), "The manifest that came")
        release = identifiers.release_id(manifest.get("release"))
        named = list(manifest["artifacts"].items())
        if len(named) != 1 or not _ARCHIVE.fullmatch(named[0][0]) or not isinstance(named[0][1], Mapping):
            raise ReleaseRefused("The manifest that came does not name one archive.")
        (archive, about) = named[0]
        size = about.get("size")
        if not isinstance(size, int) or size < 0 or not re.fullmatch(r"[0-9a-f]{64}", str(about.get("sha256"))):
            raise ReleaseRefused("The manifest that came does not tell sum and size of its archive.")
        made = cls(layout, release, archive, str(about["sha256"]), size)
        made._check(minion, cfg, offer, manifest)
        return made

    def _check(self, minion: Minion, cfg: Mapping[str, Any], offer: Offer, manifest: Mapping[str, Any]) -> None:
        """Keep manifest, signature and bill of materials apart, and see whether they are in order."""
        if self.folder.is_dir() and self.is_kept(offer):
            folder = self.folder
        else:
            folder = self.half
            folder.mkdir(mode=0o700, exist_ok=True)
            for name, content in offer.parts.items():
                (folder / name).write_bytes(content)
        try:
            Trust.configured(cfg).signer(folder / MANIFEST, self.archive)
            acceptance.check_fit(minion, self.layout, manifest)
            bill = manifest.get("sbom")
            if bill:
                name = str(bill["name"])
                if name not in offer.parts:
                    raise ReleaseRefused(f"{self.archive} came without its {name}.")
                artifacts.check_sum(folder / name, str(bill["sha256"]), name)
        except CorpusError:
            trees.remove(folder)
            raise

    @property
    def folder(self) -> Path:
        """Where it is kept when it is whole."""
        return self.layout.incoming / self.id

    @property
    def half(self) -> Path:
        """Where it is until then."""
        return self.layout.incoming / f".half-{self.id}"

    @property
    def url(self) -> str:
        return (self.folder / self.archive).as_uri()

    def is_kept(self, offer: Offer) -> bool:
        """Tell whether it is here already, whole, word for word the same."""
        there = self.folder / self.archive
        return there.is_file() and all(
            (self.folder / name).is_file() and (self.folder / name).read_bytes() == content
            for name, content in offer.parts.items()
        )

    def take(self, stream: IO[bytes], cfg: Mapping[str, Any]) -> None:
        """Take the archive, or the rest of it, and keep the release.

        :raises CorpusError: it was cut short (what came stays, to go on with), or there is no room
        :raises ReleaseRefused: it is not what the manifest says
        """
        part = self.half / self.archive
        offset = part.stat().st_size if part.is_file() else 0
        if offset > self.size:
            part.unlink()
            offset = 0
        archives.ensure_room(self.layout, cfg, self.size - offset, self.archive)
        _answer(f"{SEND} {offset}")
        with part.open("ab") as target:
            while offset < self.size and (block := stream.read(min(BLOCK, self.size - offset))):
                target.write(block)
                offset += len(block)
        if offset < self.size:
            raise CorpusError(
                f"{self.archive} was cut short at {offset} of {self.size} bytes: promote it again, it goes on from there."
            )
        artifacts.check_sum(part, self.sha256, self.archive)
        trees.remove(self.folder)
        self.half.rename(self.folder)
        files.flush_folder(self.layout.incoming)
        _say(f"{self.archive} received and verified ({self.size / 1e6:.1f} MB)")


def _rotate(layout: Layout, cfg: Mapping[str, Any], newest: str) -> None:
    """Drop the oldest beyond ``keep_releases``, never what the configuration names, and halves of other releases."""
    trees.sweep(layout.incoming)
    for half in layout.incoming.glob(".half-*"):
        if half.name != f".half-{newest}":
            trees.remove(half)
    named = " ".join(map(str, cfg["release_artifacts_urls"]))
    kept = sorted(layout.incoming.glob("[0-9]*"), reverse=True)
    for folder in kept[max(cfg["keep_releases"], 1) :]:
        if folder.name != newest and folder.name not in named:
            trees.remove(folder)


def _say(words: str) -> None:
    sys.stderr.write(f"-----> {words}\n")
    sys.stderr.flush()


def _answer(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
