"""Images that guests are cloned from: built, and brought to compute nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.controller import compute_nodes, operations, wiring
from corpus.controller.operations import Run, Step
from corpus.errors import UsageError
from corpus.identifiers import shown

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.controller import images
    from corpus.controller.cloud import Cloud
    from corpus.controller.registry.models import ComputeNode, Image


def synchronize(cloud: Cloud, name: str, image: str | None = None) -> list[str]:
    """Bring the controller's images to a node; return those that it did not have.

    :param image: ``<name>`` or ``<name>-<version>``; None: the newest version of each
    """
    from corpus.controller import images
    from corpus.controller.registry.models import NodeImage

    with cloud.registry.reading() as session:
        node = wiring.node(session, name)
        minion, node_id, reached = node.minion_id, node.id, wiring.target(cloud, node)
        missing = _missing(session, node, image)
    brought = []
    for one in missing:
        archive, _ = images.send(images.find(cloud.settings, one.name, one.version), reached)
        wiring.call(cloud, minion, "mc_lxc.import_image", archive, one.name, one.version, timeout=1800)
        reached.run("rm", "-f", "--", archive)
        with cloud.registry.session() as session:
            if session.get(NodeImage, (node_id, one.id)) is None:
                session.add(NodeImage(node_id=node_id, image_id=one.id))
        brought.append(f"{one.name}-{one.version}")
    return brought


def _missing(session: Session, node: ComputeNode, image: str | None) -> list[Image]:
    """The images that are meant, and that a node does not have.

    :raises UsageError: there is no image of that name
    """
    from sqlalchemy import select

    from corpus.controller.registry.models import Image, NodeImage

    there = set(session.scalars(select(NodeImage.image_id).where(NodeImage.node_id == node.id)))
    newest = {
        one.name: one
        for one in session.scalars(select(Image).order_by(Image.id))
        if image in (None, one.name, f"{one.name}-{one.version}")
    }
    if image is not None and not newest:
        raise UsageError(f"There is no image {shown(image)}: mc_compute_node.image_build makes one.")
    return [one for one in newest.values() if one.id not in there]


@operations.kind("compute_node.image_sync", subject=compute_nodes.subject, resolve=wiring.called(node=wiring.node))
def equipping(arguments: Mapping[str, Any]) -> list[Step]:
    """Images of the controller's, brought to a node: ``node``, ``image``."""

    def there(run: Run) -> bool:
        with run.cloud.registry.reading() as session:
            return not _missing(session, wiring.node(session, run.arguments["node"]), run.arguments.get("image"))

    def bring(run: Run) -> list[str]:
        return synchronize(run.cloud, run.arguments["node"], run.arguments.get("image"))

    return [Step("images", there, bring, repeatable=True)]


@operations.kind("image.build", subject=lambda arguments: f"image:{arguments.get('name')}")
def building(arguments: Mapping[str, Any]) -> list[Step]:
    """Build it, or find that it was built already, and bring it to the nodes."""

    def build(run: Run) -> str:
        from corpus.controller import images

        given = run.arguments
        made = images.build(run.cloud.settings, given["name"], given["suite"], run.say, again=bool(given.get("again")))
        run.remember(image=made.full_name)
        register(run.cloud, made)
        return made.full_name

    def bring(run: Run) -> dict[str, list[str]]:
        with run.cloud.registry.reading() as session:
            names = [node.name for node in _attached(session)]
        brought = {name: synchronize(run.cloud, name, run.data["image"]) for name in names}
        return {name: found for name, found in brought.items() if found}

    steps = [Step("image", None, build, repeatable=True)]
    return [*steps, Step("nodes", None, bring, repeatable=True)] if arguments.get("sync") else steps


def register(cloud: Cloud, made: images.Image) -> None:
    """Let the registry know an image that was built."""
    from sqlalchemy import select

    from corpus.controller.registry.models import Image

    with cloud.registry.session() as session:
        wanted = select(Image).where(Image.name == made.name, Image.version == made.version)
        if session.scalar(wanted) is None:
            session.add(Image(name=made.name, version=made.version, digest=made.digest, size=made.size))


def _attached(session: Session) -> list[ComputeNode]:
    from sqlalchemy import select

    from corpus.controller.registry.models import ComputeNode

    wanted = select(ComputeNode).where(ComputeNode.state.in_(("ready", "draining"))).order_by(ComputeNode.name)
    return list(session.scalars(wanted))
