"""Images that guests are cloned from."""

from __future__ import annotations

import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from corpus.controller import permissions
from corpus.controller.registry.models import ComputeNode, Image, NodeImage
from corpus.web.changes import CHANGES, Change
from corpus.web.login import Asking
from corpus.web.schemas import After, Given, Limit, Page, Wanted
from corpus.web.service import Serving

router = APIRouter(tags=["images"])


class ImageInfo(BaseModel):
    """An image."""

    name: str = Field(description="Of the family", examples=["debian"])
    version: str
    digest: str = Field(description="Of the archive", examples=["sha256:9f86d081884c7d65"])
    size: int = Field(description="Of the archive, in bytes")
    created: datetime.datetime
    nodes: list[str] = Field(description="That have it, of those that one may see")


class NewImage(Given):
    """An image that shall be built."""

    name: str = Field(default="debian", min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    suite: str = Field(default="bookworm", min_length=1, max_length=50, pattern=r"^[a-z]+$", description="Debian's")
    again: bool = Field(default=False, description="Also when there is one of the same already")
    sync: bool = Field(default=False, description="Bring it to all compute nodes, too")


@router.get("/images")
def list_images(
    caller: Asking, service: Serving, limit: Limit = 50, after: After = None, name: Wanted = None
) -> Page[ImageInfo]:
    """The controller's images, the oldest first."""
    service.allowed(caller, "image.view", {})
    wanted = select(Image).order_by(Image.id)
    if name is not None:
        wanted = wanted.where(Image.name == name)
    if after is not None:
        family, _, version = after.rpartition("-")
        last = select(Image.id).where(Image.name == family, Image.version == version).scalar_subquery()
        wanted = wanted.where(Image.id > func.coalesce(last, 0))
    with service.registry.reading() as session:
        rows = session.scalars(wanted.limit(limit + 1)).all()
        those = [row.id for row in rows]
        named = (
            select(NodeImage.image_id, ComputeNode.name)
            .join(ComputeNode, NodeImage.node_id == ComputeNode.id)
            .where(NodeImage.image_id.in_(those), permissions.nodes(caller.person))
            .order_by(ComputeNode.name)
        )
        nodes: dict[int, list[str]] = {}
        for number, node in session.execute(named):
            nodes.setdefault(number, []).append(node)
        items = [
            ImageInfo(
                name=row.name,
                version=row.version,
                digest=row.digest,
                size=row.size,
                created=row.created,
                nodes=nodes.get(row.id, []),
            )
            for row in rows[:limit]
        ]
    last_one = f"{items[-1].name}-{items[-1].version}" if len(rows) > limit else None
    return Page(items=items, next=last_one)


@router.post("/images", **CHANGES)
def build_image(given: NewImage, change: Change) -> Response:
    """Build an image, unless there is one of the same already."""
    return change("image.build", given.model_dump())
