"""One release takes the place of another: the tree, the pillar, the processes, the web front.

Every step is journaled with what it takes to undo it, and may be undone or finished by another process, after a crash
at any line. Which tree is which is told by inode numbers, never by where we believe we were.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus import files
from corpus.errors import CorpusError
from corpus.project import configuration
from corpus.project.changes import services
from corpus.project.keeping import trees
from corpus.project.keeping.journal import Journal
from corpus.project.layout import Layout
from corpus.project.running import formation, front, health, one_off, supervision


class Takeover:
    """The transition of a project from the release ``old`` to the release ``new``.

    :param layout: of the project
    :param journal: open
    :param old: id of the running release, or None
    :param new: id of the one that comes
    """

    def __init__(self, layout: Layout, journal: Journal, old: str | None, new: str) -> None:
        self.layout, self.journal, self.old, self.new = layout, journal, old, new
        self.supervisor = supervision.of(layout.roots)
        self.front = front.Front(layout.roots, self.supervisor)
        #: process types that differ between the two, once the new ones were started
        self.services: list[services.ServiceChange] | None = None
        #: whether the tree that is taken off goes to its archive instead of staying beside
        self.archives_old = False
        #: bytes of the web processes' log that were there before the new ones started
        self._heard = 0
        #: what :meth:`undo` could not bring back, in words
        self.problems: list[str] = []

    # forward

    def exchange_tree(self) -> None:
        """Put the new tree in place and keep the old one whole, in one step; nothing when that was done already."""
        self._exchange("project", self.layout.project, self.layout.tree)

    def exchange_pillar(self) -> None:
        """The same for the pillar's clone, when a new one stands aside."""
        if self.layout.pillar_tree(self.new).is_dir():
            self._exchange("pillar", self.layout.pillar, self.layout.pillar_tree)

    def _exchange(self, what: str, place: Path, aside: Any) -> None:
        noted = self.journal.last(f"exchange {what}")
        if noted and trees.identity(place) == noted["new"]:
            return
        shelf = str(self._shelf(aside))
        self.journal.record(
            f"exchange {what}", old=trees.identity(place), new=trees.identity(aside(self.new)), shelf=shelf
        )
        files.exchange(place, aside(self.new))
        self._shelve(aside)
        files.flush_folder(self.layout.folder)

    def _shelve(self, aside: Any) -> None:
        """Move the tree that was taken off to its own release.

        From here on nothing stands where the new release's own tree was: a process of it that is started again must
        not take the old tree for its own.
        """
        shelf = self._shelf(aside)
        shelf.parent.mkdir(exist_ok=True)
        trees.remove(shelf)
        aside(self.new).rename(shelf)

    def _shelf(self, aside: Any) -> Path:
        """Where the tree that was taken off is kept; before the first deployment it was of no release."""
        if self.old is not None and self.old != self.new:
            moved = self.archives_old and aside == self.layout.tree
            return self.layout.archive(self.old) / "project" if moved else Path(aside(self.old))
        return self._beginning(aside, self.new)

    @staticmethod
    def _beginning(aside: Any, release: str) -> Path:
        tree = Path(aside(release))
        return tree.with_name(f".start-{tree.name}")

    @property
    def old_tree(self) -> Path:
        """Where the tree that was taken off stands."""
        return self._shelf(self.layout.tree)

    def stand_still(self, cfg: Mapping[str, Any], reason: str) -> str:
        """Show the maintenance page, let requests under way be answered, and stop the old release's processes.

        Once: nothing when that was done already, or when there is no old release.

        :param reason: in words, for who asks why
        """
        if self.old is None or self._stood_still:
            return ""
        self.journal.record("stand still", release=self.old)
        words = []
        if self.front.site(self.layout).exists():
            self.front.close(self.layout, cfg, reason=reason)
            health.quiet(formation.ports(self.layout, self.old), float(cfg["drain"]))
            words.append("maintenance page shown")
        if formation.specified(self.layout, self.old)["processes"]:
            supervision.stop(self.supervisor, self.layout, self.old)
            words.append(f"processes of {self.old} stopped")
        return ", ".join(words)

    @property
    def _stood_still(self) -> bool:
        return self.journal.last("stand still") is not None

    def _open(self) -> str:
        """Take the maintenance page away that this takeover has shown."""
        if self._stood_still and self.front.open(self.layout, {}):
            return "maintenance page gone"
        return ""

    def _old_answers(self) -> str:
        """Wait until the old release's web processes accept connections again: they were started a moment ago."""
        if self.old is not None and self._stood_still:
            health.listening(formation.ports(self.layout, self.old), 10)
        return ""

    def start(self) -> list[str]:
        """Start the new release's processes beside the old one's; return their types."""
        before = formation.specified(self.layout, self.old) if self.old else {}
        self.services = services.between(before, formation.specified(self.layout, self.new))
        if not formation.specified(self.layout, self.new)["processes"]:
            return []
        self.journal.record("start", release=self.new)
        self._heard = supervision.log_size(self.layout, formation.WEB)
        return supervision.start(self.supervisor, self.layout, self.new)

    def prove(self, cfg: Mapping[str, Any], instances: Sequence[str] | None = None) -> str:
        """Ask each web process of the new release whether it is well; return the last answer in words.

        :param instances: those alone; None: all
        :raises CorpusError: one is not
        """
        check = health.Check.configured(cfg)
        words = ""
        try:
            present = formation.specified(self.layout, self.new)["processes"]
            asked = sorted(present) if instances is None else [name for name in instances if name in present]
            for port in (present[name]["port"] for name in asked):
                if port is not None:
                    words = self._command(check, port) if check.command else self._page(check, port)
            if not self._lives():
                raise CorpusError(f"A process of {self.new} ended while others were asked whether they are well.")
        except CorpusError as err:
            last = supervision.last_words(self.layout, formation.WEB, self._heard)
            raise CorpusError(f"{err} The web process said last: {last}" if last else str(err)) from err
        return words

    def _lives(self) -> bool:
        return supervision.running(self.supervisor, self.layout, self.new)

    def _page(self, check: health.Check, port: int) -> str:
        """Ask a web process by http."""
        group = supervision.group_name(self.layout, self.new)

        def instead() -> str:
            webs = [one.pid for one in self.supervisor.processes(group) if one.name.startswith(f"{formation.WEB}.")]
            return health.listens_instead([pid for pid in webs if pid], port)

        return health.wait(check, "127.0.0.1", port, self._lives, refused=instead)

    def _command(self, check: health.Check, port: int) -> str:
        """Run the command that tells whether the web process at ``port`` is well."""

        def question(seconds: float) -> tuple[bool, str]:
            said: list[str] = []
            words = ["/bin/sh", "-c", check.command] if isinstance(check.command, str) else list(check.command)
            try:
                status = one_off.run(self.layout, self.new, ["env", f"PORT={port}", *words], said.append, seconds)
            except CorpusError as err:
                return False, str(err).rstrip(".")
            last = next((f": {line.strip()[:200]}" for line in reversed(said) if line.strip()), "")
            return status == 0, f"the command ends with {status}{last}"

        return health.insist(check, question, self._lives)

    def serve(self, cfg: Mapping[str, Any], ports: Sequence[int] | None = None) -> str:
        """Send the web front to the new release and ask through it; return where it is served, or an empty text.

        :param ports: of its web processes; None: of all that it has
        :raises CorpusError: the front cannot, or the answer is not well
        """
        site = self.front.site(self.layout)
        before = site.read_text(encoding="utf-8") if site.exists() else None
        self.journal.record("serve", before=before)
        ports = formation.ports(self.layout, self.new) if ports is None else ports
        if not self.front.point(self.layout, cfg, self.new, ports):
            self.front.forget(self.layout)
            return ""
        check = health.Check.configured(cfg)
        if not ports and "status" not in cfg["healthcheck"]:
            check = health.Check(path=check.path, status=(200, 301, 302, 304), timeout=2, host=check.host)
        self._open()
        self.front.prove(self.layout, cfg, dataclasses.replace(check, wait=0))
        problem = self.front.certify(self.layout)
        closed = "closed for maintenance" if self.front.closed(self.layout) else ""
        return "; ".join(words for words in (front.url(cfg), closed, problem) if words)

    # the end, one way or the other

    def finish(self) -> None:
        """The new release is accepted: name it current, let the old processes finish. May be called again.

        What was there before the first deployment stays until the second: git may still refuse the push.
        """
        if self.old and self.old != self.new:
            (self.layout.release(self.old) / ".retired").touch()
            for aside in (self.layout.tree, self.layout.pillar_tree):
                trees.remove(self._beginning(aside, self.old))
        files.link(self.layout.current, self.new)
        files.flush_folder(self.layout.deployed)
        self._awake(self.new)
        self._open()
        if self.old:
            self.front.drain(float(formation.specified(self.layout, self.old).get("drain", 0)))
        supervision.stop_others(self.supervisor, self.layout, self.new)

    def undo(self) -> list[str]:
        """Bring back what ran before: trees, the current link, processes, web front. May be called again, by another process.

        The trees must come back. Processes or a front that do not are told in ``problems``: a project whose old
        version does not start (any more) must still accept the next.

        :returns: what was done, in words
        :raises CorpusError: a tree cannot be brought back
        """
        done = []
        for what, place, aside in (
            ("project", self.layout.project, self.layout.tree),
            ("pillar", self.layout.pillar, self.layout.pillar_tree),
        ):
            if self._exchange_back(what, place, aside):
                done.append(f"{what}/ exchanged back")
        self._current_back()
        if noted := self.journal.last("settings"):
            configuration.restore_settings(self.layout, noted["before"])
            done.append("the saved settings are as before")
        self.problems = []
        for part in (self._old_processes, self._old_answers, self._front_back, self._open, self._stop_new):
            try:
                words = part()
            except (CorpusError, OSError) as err:
                self.problems.append(str(err))
                continue
            if words:
                done.append(words)
        return done

    def _exchange_back(self, what: str, place: Path, aside: Any) -> bool:
        noted = self.journal.last(f"exchange {what}")
        if noted is None:
            return False
        shelf = Path(noted.get("shelf") or self._shelf(aside))
        for other in (aside(self.new), shelf):
            if trees.identity(place) != noted["old"] and trees.identity(other) == noted["old"]:
                files.exchange(place, other)
        if trees.identity(place) != noted["old"]:
            raise CorpusError(
                f"{place} cannot be brought back: the tree that stood there before (inode {noted['old']}) is gone. "
                f"Its archive is under {self.layout.archives}."
            )
        if trees.identity(shelf) == noted["new"]:
            shelf.rename(aside(self.new))
        files.flush_folder(self.layout.folder)
        return True

    def _current_back(self) -> None:
        """Name the old release current again, when the end had begun already."""
        if self.old == self.new:
            return
        if self.old is not None:
            files.link(self.layout.current, self.old)
            (self.layout.release(self.old) / ".retired").unlink(missing_ok=True)
        else:
            self.layout.current.unlink(missing_ok=True)
        files.flush_folder(self.layout.deployed)

    def _old_processes(self) -> str:
        return self._awake(self.old) if self.old is not None else ""

    def _awake(self, release: str) -> str:
        """Start a release's processes and the web front when they do not run: a machine that was restarted has none."""
        asleep = not self.front.runs()
        started = not supervision.running(self.supervisor, self.layout, release)
        if started:
            supervision.start(self.supervisor, self.layout, release)
        if asleep:
            self.front.awake(self.layout)
        return f"processes of {release} started again" if started else ""

    def _front_back(self) -> str:
        noted = self.journal.last("serve")
        if noted is None:
            return ""
        if noted["before"] is None:
            self.front.forget(self.layout)
        else:
            self.front.put_back(self.layout, noted["before"])
            self._await_front()
        return "web front sent back"

    def _await_front(self) -> None:
        """See the front serve the old release before the new one's processes end: a reload takes a moment."""
        cfg = files.read_json(self.layout.snapshot, {})
        if "http_port" in cfg:
            for _ in supervision.poll(5):
                if self.front.serves(self.layout, cfg) == self.old:
                    return

    def _stop_new(self) -> str:
        if self.new != self.old:
            if self.journal.last("serve"):  # it has been asked: whoever did gets an answer
                self.front.drain(float(formation.specified(self.layout, self.new).get("drain", 0)))
            supervision.stop(self.supervisor, self.layout, self.new)
        return ""

    def fail_away(self, log: Path) -> Path:
        """Put the tree that failed, with its log, where somebody can look at it; return the folder.

        When the disk is nearly full only the log is kept.
        """
        folder = self.layout.failed / self.new
        folder.mkdir(mode=0o711, exist_ok=True)
        tree = self.layout.tree(self.new)
        if tree.is_dir() and trees.free(self.layout.folder) > 32 << 20:
            trees.remove(folder / "project")
            tree.rename(folder / "project")
        if log.exists():
            files.write(folder / "log", log.read_text(encoding="utf-8", errors="replace"), 0o600)
        self.discard()
        return folder

    def discard(self) -> None:
        """Forget the new release: its folder with what is left of its tree, and its processes' specification."""
        trees.remove(self.layout.release(self.new))
        self.layout.processes(self.new).unlink(missing_ok=True)

    def change_settings(self, settings: Mapping[str, Any]) -> None:
        """Save other settings, which :meth:`undo` takes back."""
        self.journal.record("settings", before=configuration.sealed_settings(self.layout))
        configuration.store_settings(self.layout, settings)


def own(path: Path, user: str | None, group: str | None = None) -> None:
    """Give a path, not what is below it, to a user; nothing when we are not root."""
    if os.geteuid() == 0 and user and user != "root":
        import shutil

        shutil.chown(path, user, group or user)


def own_all(folder: Path, user: str | None, group: str | None = None) -> None:
    """Give a tree to a user, links themselves and not what they lead to."""
    if os.geteuid() != 0 or not user or user == "root":
        return
    import grp
    import pwd

    uid, gid = pwd.getpwnam(user).pw_uid, grp.getgrnam(group or user).gr_gid
    os.lchown(folder, uid, gid)
    for path in trees.walk(folder):
        os.lchown(path, uid, gid)
