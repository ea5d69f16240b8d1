"""Public ssh keys that are let into compute nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import compute_nodes, operations, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from corpus.controller import access


@operations.kind("compute_node.add_key", subject=compute_nodes.subject, resolve=compute_nodes.NAMED)
def letting_in(arguments: Mapping[str, Any]) -> list[Step]:
    """One more public key that is let in as root."""
    from corpus.controller import access

    public = access.public_key(arguments.get("key"))
    words = public.split(None, 2)
    label = words[2] if len(words) > 2 else "key"

    def known(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            node = wiring.node(session, run.arguments["node"])
            return access.fingerprint(public) in {key.fingerprint for key in node.keys}

    def register(run: Run) -> str:
        from corpus.controller.registry.models import SshKey

        with run.cloud.registry.session() as session:
            node = wiring.node(session, run.arguments["node"])
            row = SshKey(name=label[:100], public=public, fingerprint=access.fingerprint(public), node_id=node.id)
            session.add(row)
        return access.fingerprint(public)

    def unregister(run: Run) -> None:
        _drop_key(run, access.fingerprint(public))

    def let_in(run: Run) -> None:
        _reached(run).run("sh", "-c", wiring.LET_IN, stdin=f"{public}\n")

    def let_out(run: Run) -> None:
        _reached(run).run("sh", "-c", wiring.LET_OUT, stdin=f"{public}\n")

    return [
        Step("registry", known, register, unregister, repeatable=True),
        Step("authorized keys", None, let_in, let_out, repeatable=True),
    ]


@operations.kind("compute_node.remove_key", subject=compute_nodes.subject, resolve=compute_nodes.NAMED, forward=True)
def letting_out(arguments: Mapping[str, Any]) -> list[Step]:
    """A key that is let in no more: named by its fingerprint, its name, or itself."""

    def find(run: Run) -> str:
        from corpus.controller import access

        wanted = str(run.arguments.get("key")).strip()
        own = run.cloud.settings.ssh
        with run.cloud.registry.reading() as session:
            node = wiring.node(session, run.arguments["node"])
            found = [key for key in node.keys if wanted in (key.fingerprint, key.name, key.public.strip())]
            if not found:
                raise UsageError(f"{node.name} has no key {shown(wanted)}: see mc_compute_node.infos.")
            ours = (own / f"{node.name}.pub").read_text(encoding="ascii")
            if access.fingerprint(ours) in {key.fingerprint for key in found}:
                raise UsageError(f"That is the controller's own key of {node.name}: unlink the node to take it out.")
            publics = [key.public.strip() for key in found]
        run.remember(publics=publics)
        return f"{len(publics)} found"

    def let_out(run: Run) -> None:
        for public in run.data["publics"]:
            _reached(run).run("sh", "-c", wiring.LET_OUT, stdin=f"{public}\n")

    def unregister(run: Run) -> None:
        from corpus.controller import access

        for public in run.data["publics"]:
            _drop_key(run, access.fingerprint(public))

    return [
        Step("key", None, find, repeatable=True),
        Step("authorized keys", None, let_out, repeatable=True),
        Step("registry", None, unregister, repeatable=True),
    ]


def _reached(run: Run) -> access.Target:
    with run.cloud.registry.reading() as session:
        return wiring.target(run.cloud, wiring.node(session, run.arguments["node"]))


def _drop_key(run: Run, fingerprint: str) -> None:
    with run.cloud.registry.session() as session:
        for key in wiring.node(session, run.arguments["node"]).keys:
            if key.fingerprint == fingerprint:
                session.delete(key)
