"""Machines of public clouds, before they are compute nodes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from corpus.web.changes import CHANGES, Change
from corpus.web.login import Asking
from corpus.web.schemas import LINE, Confirmed, Given, confirmed
from corpus.web.service import Serving

router = APIRouter(tags=["machines"])

_LABEL = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
Account = Annotated[
    str, Path(max_length=100, pattern=r"^[A-Za-z0-9_.-]+$", description="In the master's configuration")
]
Machine = Annotated[str, Path(max_length=63, pattern=_LABEL, examples=["node7"])]


class AccountInfo(BaseModel):
    """An account with a public cloud."""

    name: str = Field(examples=["amazon"])
    provider: str | None = Field(examples=["ec2"])
    region: str | None = Field(examples=["eu-west-1"])
    url: str | None


class MachineInfo(BaseModel):
    """A machine that was made here."""

    name: str = Field(examples=["node7"])
    id: str
    state: str
    address: str | None
    address6: str | None


class NewMachine(Given):
    """A machine that shall be made."""

    name: str = Field(min_length=1, max_length=63, pattern=_LABEL, examples=["node7"])
    image: str = Field(min_length=1, max_length=300, pattern=LINE, description="Id, or a name that only one has")
    size: str = Field(min_length=1, max_length=300, pattern=LINE, description="Id or name", examples=["m6i.large"])
    user_data: str | None = Field(
        default=None, max_length=16_000, description="For cloud-init on the machine; it is kept, so no secrets"
    )


@router.get("/machines")
def list_accounts(caller: Asking, service: Serving) -> list[AccountInfo]:
    """The accounts with public clouds in which machines can be made."""
    return [AccountInfo(**one) for one in service.ask(caller, "machine.accounts", {})]


@router.get("/machines/{account}")
def list_machines(account: Account, caller: Asking, service: Serving) -> list[MachineInfo]:
    """The machines that were made here with an account."""
    known = service.ask(caller, "machine.list", {"account": account})
    return [MachineInfo(name=name, **facts) for name, facts in sorted(known.items())]


@router.post("/machines/{account}", **CHANGES)
def create_machine(account: Account, given: NewMachine, change: Change) -> Response:
    """Make a machine, and wait until it runs and has an address."""
    return change("machine.create", {"account": account, **given.model_dump()})


@router.delete("/machines/{account}/{name}", **CHANGES)
def destroy_machine(account: Account, name: Machine, change: Change, confirm: Confirmed = None) -> Response:
    """Destroy a machine that was made here; a compute node must be unlinked first."""
    change.service.allowed(change.caller, "machine.destroy", {})
    confirmed(name, confirm, change.plan)
    return change("machine.destroy", {"account": account, "name": name})
