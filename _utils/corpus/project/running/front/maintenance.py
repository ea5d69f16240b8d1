"""The sign "closed for maintenance": a file that nginx looks for at each request, so that it counts at once.

A person may close a project, and a deployment may, for a step that the old version would not survive. It is open again
when nobody wants it closed any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus import files
from corpus.project.keeping.lock import now

#: who may close a project
PERSON, DEPLOYMENT = "person", "deployment"


class Sign:
    """The sign of one project.

    :param path: of the file, absolute; its folder is there
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def hung_by(self) -> dict[str, dict[str, Any]]:
        """Return who closed it: ``{person or deployment: {who, since, reason}}``; empty when it is open."""
        return dict(files.read_json(self._path, {}))

    def hang(self, by: str, who: str, reason: str) -> bool:
        """Close the project; return whether ``by`` had not done so already."""
        notes = self.hung_by()
        if by in notes:
            return False
        notes[by] = {"who": who, "since": now(), "reason": reason}
        files.write_json(self._path, notes, 0o644)
        return True

    def take_down(self, *by: str) -> bool:
        """Open the project as far as ``by`` is concerned; return whether anything changed."""
        notes = self.hung_by()
        left = {key: note for key, note in notes.items() if key not in by}
        if left == notes:
            return False
        if left:
            files.write_json(self._path, left, 0o644)
        else:
            self._path.unlink(missing_ok=True)
            files.flush_folder(self._path.parent)
        return True
