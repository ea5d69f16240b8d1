"""A plan: what a deployment would change, stage by stage, told without changing anything."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from corpus.project import upgrades, workflow
from corpus.project.deployment import Deployment
from corpus.project.found import procfile
from corpus.project.keeping import trees
from corpus.project.layout import Layout
from corpus.project.minion import Minion
from corpus.project.running import formation, view
from corpus.project.session import Request, Session, orderly_end
from corpus.project.telling.report import StageReport
from corpus.project.version import Version


def plan(minion: Minion, name: str, request: Request) -> dict[str, Any]:
    """Tell what :func:`deploy` would change, stage by stage, and change nothing.

    :returns: the report; its states' ``result`` is None where something would change
    """
    layout = Layout.existing(minion.roots, name)
    with orderly_end(), Session(minion, layout, "plan", request.who, test=True) as session:
        return Plan(session, request).run()


class Plan(Deployment):
    """A deployment that is only told: the new version is prepared apart, its sls run with ``test=True``, nothing stays."""

    def __init__(self, session: Session, request: Request) -> None:
        super().__init__(session, request)
        self.version = Version(session, request, self.layout.releases / f".plan-{session.id}")

    def run(self) -> dict[str, Any]:
        """Tell what would change and return the report."""
        report = self.report
        report.result = None
        try:
            self._prepare()
            self.session.cfg["current_archive_dir"] = str(self.layout.archive(self.layout.running() or self.session.id))
            self._see()
            for stage in self.stages:
                if workflow.runs(stage, self.session.cfg):
                    self.session.run(stage, functools.partial(self._foretell, stage.name))
                else:
                    self.session.skip(stage, workflow.why_not(stage, self.session.cfg))
            report.comment = "This is what would change; nothing was changed."
        except (Exception, KeyboardInterrupt) as err:
            report.result, report.comment = False, f"It would fail. {self.session.explain(err)}"
        finally:
            self.session.dismiss_worker()
            trees.remove(self.version.folder)
        self.console.ending(report.comment, report.notes)
        return report.told(self.console.redactor)

    def _see(self) -> None:
        """Let the sls see the new tree: at its final path where a view is possible, else where it stands."""
        session, layout = self.session, self.layout
        if self.in_place:
            session.wire(layout.salt)
        elif self.version.views:
            session.wire(layout.salt, self.version.tree / ".salt")
            view.prepare(str(layout.folder), str(layout.view))
            session.worker.enter(str(layout.folder), str(layout.view), {"project": str(self.version.tree)}, {})
        else:
            session.wire(self.version.tree / ".salt")

    def _foretell(self, stage: str, _: StageReport) -> str:
        """Say what corpus itself would do in a stage."""
        cfg, layout = self.session.cfg, self.layout
        if stage == "archive":
            running = layout.running()
            return f"would archive {running}" if running else "nothing is deployed yet"
        if stage == "release_sync":
            urls = cfg["release_artifacts_urls"]
            return (
                f"would fetch and unpack {len(urls)} artifacts"
                if urls
                else "no artifacts: the pushed tree is the release"
            )
        if stage == "activate":
            kinds = sorted(formation.types(cfg))
            return (
                f"would start {', '.join(kinds)}, check their health, and exchange the trees"
                if kinds
                else "would exchange the trees"
            )
        if stage == "upgrade":
            steps = upgrades.to_do(layout, self._plan_tree() / ".salt")
            root = self._plan_tree() / ".salt"
            closes = layout.running() and (cfg["upgrade_maintenance"] or upgrades.closing(layout, root))
            words = [f"would run the steps {', '.join(steps)}" if steps else ""]
            words.append("behind the maintenance page, with nothing running" if closes else "")
            words.append("would run the release process" if cfg["processes"].get(procfile.RELEASE) else "")
            return "; ".join(word for word in words if word)
        if stage == "bundle":
            return "would pack a release"
        return ""

    def _plan_tree(self) -> Path:
        return self.layout.project if self.in_place else self.version.tree
