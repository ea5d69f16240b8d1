"""The controller itself: whether its parts answer, what was interrupted, and the registry against the world."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from corpus.web.login import Asking
from corpus.web.schemas import Given, Planned
from corpus.web.service import Serving

router = APIRouter(tags=["controller"])

#: Seconds that the world may take to be compared, and what was interrupted to be settled.
_COMPARING = 300.0


class Report(BaseModel):
    """What there is, and which part of the controller answers."""

    result: bool = Field(description="Whether every part answers")
    comment: str
    zone: str
    parts: dict[str, str] = Field(examples=[{"registry": "ok", "dns": "not configured", "master": "ok"}])
    nodes: dict[str, int] = Field(description="How many, by state")
    guests: dict[str, int] = Field(description="How many, by state")
    projects: int
    operations: list[dict[str, Any]] = Field(description="Under way, or interrupted")
    minions: int | None = Field(default=None, description="Whose keys are accepted")


class Difference(BaseModel):
    """Something that is not as the registry says."""

    kind: str
    subject: str
    message: str
    repairable: bool
    repaired: bool


class Comparison(BaseModel):
    """The registry against the world."""

    result: bool = Field(description="Whether nothing is left that differs")
    comment: str
    differences: list[Difference]


class Repair(Given):
    """What shall be put right."""

    fix: bool = Field(default=False, description="Start and stop guests, settle traffic and names")


class Left(Given):
    """What shall be settled."""

    operation: str | None = Field(
        default=None,
        max_length=36,
        pattern=r"^[0-9a-f-]+$",
        description="The uuid of one that failed: what is left of it is done, or undone, again. None: all that died",
    )


class Settled(BaseModel):
    """What was settled."""

    result: bool
    comment: str
    operations: list[dict[str, Any]]


class Rotated(BaseModel):
    """How many credentials have a new key."""

    credentials: int


@router.get("/controller")
def get_controller(caller: Asking, service: Serving) -> Report:
    """What there is, and whether each part of the controller answers."""
    return Report(**service.ask(caller, "controller.report", {}))


@router.post("/controller/resume")
def resume_operations(
    request: Request, given: Left, caller: Asking, service: Serving, plan: Planned = False
) -> Settled:
    """Finish or undo the operations whose process died, and wait for that."""
    service.audited(request, "controller.resume", f"operation:{given.operation}" if given.operation else None)
    told = service.ask(caller, "controller.resume", {"operation": given.operation, "test": plan}, _COMPARING)
    return Settled(**told)


@router.post("/registry/check")
def check_registry(request: Request, given: Repair, caller: Asking, service: Serving) -> Comparison:
    """Compare the registry with the world: containers, images, traffic, names, keys; with `fix`, put right what can be."""
    service.audited(request, "registry.check", "registry", "fix" if given.fix else None)
    return Comparison(**service.ask(caller, "registry.check", given.model_dump(), _COMPARING))


@router.post("/registry/rotate-key")
def rotate_key(request: Request, caller: Asking, service: Serving, plan: Planned = False) -> Rotated:
    """Encrypt all credentials with a new key, and forget the old one."""
    service.audited(request, "registry.rotate_key", "registry")
    return Rotated(**service.ask(caller, "registry.rotate_key", {"test": plan}, _COMPARING))
