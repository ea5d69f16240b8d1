"""Machines of public clouds (EC2, OpenStack, and what speaks like them), through Apache Libcloud.

A machine is made, waited for until it has an address, and can then become a compute node like any that exists. What
corpus made bears a mark (a tag, metadata) and is found by it; machines of others are neither listed nor destroyed.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from corpus.errors import CorpusError, MissingTool, UsageError
from corpus.identifiers import host_name, shown

#: The mark, as a tag's name and value; the machine's name is in another one
MARK = ("corpus", "machine")
NAME = "corpus-name"
#: Seconds that a machine may take until it runs and has an address
PATIENCE = 600

_GONE = ("terminated", "stopping")


@dataclass(frozen=True)
class Account:
    """An account with a cloud.

    :param provider: ``ec2`` or ``openstack``
    :param user: the access key's id, or the user's name
    :param secret_file: absolute path of the file with the secret key or password; nobody but its owner may read it
    :param region: of the cloud
    :param url: of its API; empty: EC2's own for the region. OpenStack: that of the identity service, without ``/v3``
    :param project: OpenStack: name of the project
    :param domain: OpenStack: name of the user's and project's domain
    :param network: in which machines are: id or name (OpenStack), id of a subnet (EC2); empty: the cloud's default
    :param login: who logs in by ssh on machines of the images that are used
    :param security_groups: names (OpenStack) or ids (EC2) of them; the cloud's default when there are none
    """

    provider: str
    user: str
    secret_file: Path
    region: str
    url: str = ""
    project: str = ""
    domain: str = "Default"
    network: str = ""
    login: str = "root"
    security_groups: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Account:
        """Read an account from a mapping.

        :raises UsageError: a key is unknown, missing, or of the wrong type
        """
        names = {known.name for known in fields(cls)}
        if unknown := sorted(set(given) - names):
            raise UsageError(f"A cloud's account has no {shown(unknown[0])}: there are {', '.join(sorted(names))}.")
        if missing := sorted({"provider", "user", "secret_file", "region"} - set(given)):
            raise UsageError(f"A cloud's account needs {missing[0]}.")
        groups = given.get("security_groups", ())
        groups = (groups,) if isinstance(groups, str) else tuple(groups)
        texts = {key: value for key, value in given.items() if key != "security_groups"}
        for key, value in texts.items():
            if not isinstance(value, (str, Path)):
                raise UsageError(f"The {key} of a cloud's account is {shown(value)}, not a text.")
        account = cls(**{**texts, "secret_file": Path(texts["secret_file"]), "security_groups": groups})
        if account.provider not in _OPENERS:
            raise UsageError(f"{shown(account.provider)} is no cloud that corpus knows: {', '.join(_OPENERS)}.")
        return account

    def secret(self) -> str:
        """The secret key or password.

        :raises UsageError: its file is not there, or open to others
        """
        try:
            mode, text = self.secret_file.stat().st_mode, self.secret_file.read_text()
        except OSError as err:
            raise UsageError(f"The cloud's secret, {self.secret_file}, cannot be read: {err.strerror}.") from err
        if mode & 0o077:
            raise UsageError(
                f"The cloud's secret, {self.secret_file}, is open to others: chmod 0600 {self.secret_file}."
            )
        return text.strip()


@dataclass(frozen=True)
class Machine:
    """A machine that corpus made.

    :param id: the cloud's own
    :param state: ``running``, ``pending``, ``stopped``, ``error`` …
    :param address: at which it is reached: a public one where it has one; None: it has none yet
    :param private_address: in the cloud's network
    """

    id: str
    name: str
    state: str
    address: str | None
    address6: str | None
    private_address: str | None


class Machines:
    """The machines of an account. Nothing is asked before it is used."""

    def __init__(self, account: Account) -> None:
        self.account = account

    @cached_property
    def _driver(self) -> Any:
        return _OPENERS[self.account.provider](self.account)

    def all(self) -> list[Machine]:
        """The machines that corpus made here, sorted by name; not those that are gone."""
        with self._explained("list machines"):
            return sorted((_machine(node) for node in self._nodes()), key=lambda one: (one.name, one.id))

    def find(self, name: str) -> Machine | None:
        """The machine of that name that corpus made, or None."""
        return next((one for one in self.all() if one.name == name), None)

    def create(
        self, name: str, image: str, size: str, public_key: str, user_data: str = "", wait: float = PATIENCE
    ) -> Machine:
        """Make a machine and wait until it has an address; one of that name is taken as it is.

        :param name: one label of a DNS name
        :param image: id or name; a name must be that of one image alone
        :param size: id or name
        :param public_key: who has its private half is let in; as in ``authorized_keys``
        :param user_data: for cloud-init
        :param wait: seconds
        :raises UsageError: there is no such image or size
        :raises CorpusError: the cloud refuses, or it takes too long; then the machine is destroyed
        """
        name = host_name(name)
        there = self.find(name)
        if there is None:
            with self._explained(f"make the machine {name}"):
                found = self._image(image), self._size(size)
                made = self._made(name, *found, self._key(public_key), user_data)
            try:
                return self._awaited(name, str(made.id), wait)
            except BaseException:
                with contextlib.suppress(Exception):
                    made.destroy()
                raise
        return self._awaited(name, there.id, wait)

    def destroy(self, name: str) -> bool:
        """Destroy the machine of that name; return whether there was one."""
        with self._explained(f"destroy the machine {name}"):
            nodes = [node for node in self._nodes() if _machine(node).name == name]
            for node in nodes:
                if not node.destroy():
                    raise CorpusError(f"The cloud {self.account.provider} does not destroy {name}: look at it there.")
            return bool(nodes)

    def _nodes(self) -> list[Any]:
        if self.account.provider == "ec2":
            nodes = self._driver.list_nodes(ex_filters={f"tag:{MARK[0]}": MARK[1]})
        else:
            nodes = self._driver.list_nodes()
        return [node for node in nodes if _tags(node).get(MARK[0]) == MARK[1] and _state(node) not in _GONE]

    def _image(self, wanted: str) -> Any:
        if self.account.provider == "ec2":
            # Asked for by a filter: an id that is unknown is no error then.
            which = "image-id" if re.fullmatch(r"ami-[0-9a-f]+", wanted) else "name"
            images = self._driver.list_images(ex_filters={which: wanted})
        else:
            images = self._driver.list_images()
        return self._one("image", wanted, images)

    def _size(self, wanted: str) -> Any:
        return self._one("size", wanted, self._driver.list_sizes())

    def _one(self, what: str, wanted: str, there: list[Any]) -> Any:
        """The one whose id it is, or else whose name."""
        exact = [one for one in there if str(one.id) == wanted] or [one for one in there if one.name == wanted]
        if len(exact) == 1:
            return exact[0]
        if exact:
            raise UsageError(f"{shown(wanted)} is the name of {len(exact)} images: say which one by its id.")
        known = ", ".join(sorted({one.name or str(one.id) for one in there})[:5])
        raise UsageError(f"The cloud has no {what} {shown(wanted)}{f', but {known} …' if known else ''}.")

    def _key(self, public_key: str) -> str:
        """The name under which the cloud knows a public key; it is told it if need be."""
        words = public_key.split()
        if len(words) < 2:
            raise UsageError("That is not a public key: write it as a line of authorized_keys.")
        name = f"corpus-{hashlib.sha256(words[1].encode()).hexdigest()[:16]}"
        if all(pair.name != name for pair in self._driver.list_key_pairs()):
            self._driver.import_key_pair_from_string(name, " ".join(words[:2]))
        return name

    def _made(self, name: str, image: Any, size: Any, key: str, user_data: str) -> Any:
        marks = {MARK[0]: MARK[1], NAME: name}
        wish: dict[str, Any] = {"ex_keyname": key, "ex_metadata": marks}
        if user_data:
            wish["ex_userdata"] = user_data
        account, driver = self.account, self._driver
        if account.provider == "ec2":
            if account.network:
                subnets = driver.ex_list_subnets(subnet_ids=[account.network])
                wish |= {"ex_subnet": self._one("network", account.network, subnets), "ex_assign_public_ip": True}
            if account.security_groups:
                wish["ex_security_group_ids"] = list(account.security_groups)
        else:
            if account.network:
                wish["networks"] = [self._one("network", account.network, driver.ex_list_networks())]
            if account.security_groups:
                groups = driver.ex_list_security_groups()
                wish["ex_security_groups"] = [
                    self._one("security group", one, groups) for one in account.security_groups
                ]
        return driver.create_node(name=name, image=image, size=size, **wish)

    def _awaited(self, name: str, machine: str, wait: float) -> Machine:
        """Wait until a machine runs and has an address."""
        end, pause = time.monotonic() + wait, 0.2
        while True:
            found = next((one for one in self.all() if one.id == machine), None)
            if found is not None and found.state == "running" and found.address:
                return found
            if found is not None and found.state == "error":
                raise CorpusError(f"The cloud {self.account.provider} could not start {name}: look at it there.")
            if time.monotonic() + pause > end:
                seen = "the cloud does not list it" if found is None else f"it is {found.state}"
                raise CorpusError(f"The machine {name} has no address after {wait:g} seconds ({seen}).")
            time.sleep(pause)
            pause = min(pause * 2, 5)

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Make one sentence of whatever the cloud answers."""
        import requests
        from libcloud.common.exceptions import BaseHTTPError
        from libcloud.common.types import InvalidCredsError, LibcloudError

        try:
            yield
        except InvalidCredsError as err:
            raise UsageError(
                f"The cloud {self.account.provider} refuses us: user and {self.account.secret_file} must fit."
            ) from err
        except BaseHTTPError as err:
            words = str(err.message or "").strip() or f"status {err.code}"  # some come without words
            raise CorpusError(f"The cloud {self.account.provider} did not {what}: {words[:300]}.") from err
        except (OSError, requests.RequestException) as err:
            raise CorpusError(f"The cloud {self.account.provider} does not answer: {type(err).__name__}.") from err
        except (LibcloudError, KeyError, ValueError) as err:  # what its drivers raise on answers that they do not know
            raise CorpusError(
                f"The cloud {self.account.provider} did not {what}: its answer is not understood ({err})."
            ) from err
        except Exception as err:
            if isinstance(err, CorpusError) or type(err) is not Exception:
                raise
            # EC2's driver raises bare ones, with the cloud's own words.
            raise CorpusError(f"The cloud {self.account.provider} did not {what}: {err}.") from err


def _ec2(account: Account) -> Any:
    from libcloud.compute.drivers.ec2 import EC2NodeDriver

    driver: Any = EC2NodeDriver

    # The older signature is answered as another service by some, with empty lists.
    how: dict[str, Any] = {"region": account.region, "signature_version": "4", **_place(account.url)}
    try:
        return driver(account.user, account.secret(), **how)
    except ValueError as err:
        raise UsageError(f"{shown(account.region)} is no region of EC2.") from err


def _openstack(account: Account) -> Any:
    from libcloud.compute.drivers.openstack import OpenStackNodeDriver

    driver: Any = OpenStackNodeDriver

    if not account.url or not account.project:
        raise UsageError("An account with OpenStack needs url and project.")
    return driver(
        account.user,
        account.secret(),
        ex_force_auth_url=account.url.rstrip("/"),
        ex_force_auth_version="3.x_password",
        ex_tenant_name=account.project,
        ex_domain_name=account.domain,
        ex_force_service_region=account.region,
        api_version="2.2",
    )


def _place(url: str) -> dict[str, Any]:
    """Where an API is, as libcloud wants it."""
    if not url:
        return {}
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{shown(url)} is no url of a cloud: write https://host or https://host:port.")
    secure = parts.scheme == "https"
    return {"secure": secure, "host": parts.hostname, "port": parts.port or (443 if secure else 80)}


def _opened(opener: Any) -> Any:
    def opening(account: Account) -> Any:
        try:
            return opener(account)
        except ImportError as err:
            raise MissingTool("Apache Libcloud is missing: pip install 'corpus-salt[controller]'.") from err

    return opening


_OPENERS = {"ec2": _opened(_ec2), "openstack": _opened(_openstack)}


def _tags(node: Any) -> Mapping[str, Any]:
    return node.extra.get("tags") or node.extra.get("metadata") or {}


def _state(node: Any) -> str:
    return str(getattr(node.state, "value", node.state)).lower()


def _machine(node: Any) -> Machine:
    public = [address for address in node.public_ips if address]
    private = [address for address in node.private_ips if address]
    return Machine(
        str(node.id),
        str(_tags(node).get(NAME) or node.name),
        _state(node),
        next((one for one in [*public, *private] if ":" not in one), None),
        next((one for one in [*public, *private] if ":" in one), None),
        next((one for one in private if ":" not in one), None),
    )
