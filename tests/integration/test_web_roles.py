"""Every endpoint, as everybody: a table says who is the least that is let in. An endpoint that it lacks fails the test."""

from collections.abc import Iterator

import httpx
import pytest
from corpus.controller.registry.models import (
    ComputeNode,
    Deployment,
    Guest,
    Operation,
    Owner,
    Placement,
    Platform,
    Project,
    Role,
    now,
)
from sqlalchemy import select

from tests.web import Web, web

#: Who asks, the strongest first; each but the last two has that role on the platform ``p-1``, its
#: guest ``shop`` and the project ``shop`` there.
PEOPLE = {"sysadmin": "root1", "owner": "ada", "deployer": "dan", "viewer": "vic", "person": "eve", "anybody": ""}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9o9r5kT3bSbmyVNJv7x3jwRXAP6NmVAUqbcWgSgnCk ada@laptop"
#: Method, path, the least that is let in, and a body.
TABLE: list[tuple[str, str, str, object]] = [
    ("GET", "/health", "anybody", None),
    ("GET", "/ready", "anybody", None),
    ("GET", "/metrics", "anybody", None),  # of this machine
    ("GET", "/projects", "person", None),
    ("GET", "/deployments", "person", None),
    ("GET", "/statistics", "person", None),
    ("POST", "/projects", "person", {"name": "new"}),
    ("GET", "/projects/{name}", "viewer", None),
    ("GET", "/projects/{name}/remotes", "viewer", None),
    ("GET", "/projects/{name}/status", "viewer", None),
    ("GET", "/projects/{name}/releases", "viewer", None),
    ("GET", "/projects/{name}/logs", "viewer", None),
    ("GET", "/projects/{name}/statistics", "viewer", None),
    ("GET", "/projects/{name}/deployments", "viewer", None),
    ("GET", "/projects/{name}/deployments/{deployment}", "viewer", None),
    ("GET", "/projects/{name}/deployments/{deployment}/report", "viewer", None),
    ("GET", "/projects/{name}/deployments/{deployment}/log", "viewer", None),
    ("GET", "/projects/{name}/plan", "deployer", None),
    ("GET", "/projects/{name}/env", "deployer", None),
    ("PUT", "/projects/{name}/env", "deployer", {"variables": {"A": "b"}}),
    ("DELETE", "/projects/{name}/env/{variable}", "deployer", None),
    ("POST", "/projects/{name}/push", "deployer", {}),
    ("POST", "/projects/{name}/rollback", "deployer", {}),
    ("POST", "/projects/{name}/restart", "deployer", {}),
    ("PUT", "/projects/{name}/scale", "deployer", {"counts": {"web": 2}}),
    ("PUT", "/projects/{name}/maintenance", "deployer", {}),
    ("DELETE", "/projects/{name}/maintenance", "deployer", None),
    ("POST", "/projects/{name}/placements", "owner", {"guest": "shop"}),
    ("DELETE", "/projects/{name}/placements/{guest}", "owner", None),
    ("POST", "/projects/{name}/roles", "owner", {"owner": "eve", "role": "viewer"}),
    ("DELETE", "/projects/{name}/roles/{owner}", "owner", None),
    ("DELETE", "/projects/{name}", "owner", None),
    ("POST", "/login", "anybody", {"username": "ada", "password": "correct horse"}),
    ("POST", "/links", "anybody", {"token": "x" * 40}),
    ("GET", "/me", "person", None),
    ("GET", "/audit", "person", None),
    ("GET", "/tokens", "person", None),
    ("POST", "/tokens", "person", {"name": "ci"}),
    ("DELETE", "/tokens/{token}", "person", None),
    ("GET", "/events", "person", None),
    ("GET", "/guests", "person", None),
    ("GET", "/images", "person", None),
    ("GET", "/nodes", "person", None),
    ("GET", "/operations", "person", None),
    ("GET", "/owners", "person", None),
    ("GET", "/platforms", "person", None),
    ("GET", "/guests/{name}", "viewer", None),
    ("GET", "/guests/{name}/snapshots", "viewer", None),
    ("GET", "/nodes/{name}", "viewer", None),
    ("POST", "/nodes/{name}/inventory", "viewer", None),
    ("GET", "/operations/{operation}", "viewer", None),
    ("GET", "/operations/{operation}/events", "viewer", None),
    ("GET", "/platforms/{uuid}", "viewer", None),
    ("POST", "/guests/{name}/start", "deployer", None),
    ("POST", "/guests/{name}/stop", "deployer", None),
    ("POST", "/guests/{name}/restart", "deployer", None),
    ("POST", "/guests/{name}/snapshots", "deployer", {"label": "before"}),
    ("POST", "/guests", "owner", {"platform": "p-1", "name": "new"}),
    ("DELETE", "/guests/{name}", "owner", None),
    ("POST", "/guests/{name}/enlarge", "owner", {"size": "+1G"}),
    ("POST", "/guests/{name}/trim", "owner", {"size": "1G"}),
    ("POST", "/guests/{name}/snapshots/{label}/restore", "owner", None),
    ("DELETE", "/guests/{name}/snapshots/{label}", "owner", None),
    ("POST", "/guests/{name}/names", "owner", {"fqdn": "www.example.org"}),
    ("DELETE", "/guests/{name}/names/{fqdn}", "owner", None),
    ("POST", "/guests/{name}/exec", "owner", {"argv": ["true"]}),
    ("POST", "/guests/{name}/credentials", "owner", None),
    ("POST", "/platforms/{uuid}/roles", "owner", {"owner": "eve", "role": "viewer"}),
    ("DELETE", "/platforms/{uuid}/roles/{owner}", "owner", None),
    ("GET", "/owners/{name}", "owner", None),
    ("GET", "/owners/{name}/email", "owner", None),
    ("PUT", "/owners/{name}/email", "owner", {"email": "ada@example.org"}),
    ("GET", "/owners/{name}/keys", "owner", None),
    ("POST", "/owners/{name}/keys", "owner", {"public": KEY}),
    ("DELETE", "/owners/{name}/keys", "owner", None),
    ("POST", "/owners", "sysadmin", {"name": "new"}),
    ("DELETE", "/owners/{name}", "sysadmin", None),
    ("POST", "/owners/{name}/roles", "sysadmin", {"role": "viewer"}),
    ("DELETE", "/owners/{name}/roles", "sysadmin", None),
    ("POST", "/guests/{name}/move", "sysadmin", {"node": "node1"}),
    ("GET", "/platforms/{uuid}/settings", "sysadmin", None),
    ("PUT", "/platforms/{uuid}/settings", "sysadmin", {"settings": {}}),
    ("POST", "/platforms/{uuid}/mode", "sysadmin", {"mode": "final"}),
    ("POST", "/platforms", "sysadmin", {"node": "node1", "type": "dev"}),
    ("DELETE", "/platforms/{uuid}", "sysadmin", None),
    ("POST", "/nodes", "sysadmin", {"host": "node2.example.org"}),
    ("POST", "/nodes/link", "sysadmin", {"host": "node2.example.org"}),
    ("DELETE", "/nodes/{name}", "sysadmin", None),
    ("POST", "/nodes/{name}/drain", "sysadmin", {}),
    ("POST", "/nodes/{name}/undrain", "sysadmin", None),
    ("POST", "/nodes/{name}/keys", "sysadmin", {"key": KEY}),
    ("DELETE", "/nodes/{name}/keys", "sysadmin", None),
    ("POST", "/nodes/{name}/names", "sysadmin", {"fqdn": "www.example.org"}),
    ("POST", "/nodes/{name}/images", "sysadmin", {}),
    ("GET", "/nodes/{name}/settings", "sysadmin", None),
    ("PUT", "/nodes/{name}/settings", "sysadmin", {"settings": {}}),
    ("POST", "/images", "sysadmin", {}),
    ("GET", "/machines", "sysadmin", None),
    ("GET", "/machines/{account}", "sysadmin", None),
    ("POST", "/machines/{account}", "sysadmin", {"name": "node7", "image": "x", "size": "y"}),
    ("DELETE", "/machines/{account}/{name}", "sysadmin", None),
    ("GET", "/dns/zones", "sysadmin", None),
    ("POST", "/dns/zones", "sysadmin", {}),
    ("DELETE", "/dns/zones/{zone}", "sysadmin", None),
    ("GET", "/dns/zones/{zone}/records", "sysadmin", None),
    ("GET", "/dns/zones/{zone}/export", "sysadmin", None),
    ("GET", "/dns/zones/{zone}/dnssec", "sysadmin", None),
    ("PUT", "/dns/zones/{zone}/dnssec", "sysadmin", {"on": True}),
    ("GET", "/dns/plan", "sysadmin", None),
    ("POST", "/dns/apply", "sysadmin", None),
    ("GET", "/dns/names", "person", None),
    ("POST", "/dns/records", "sysadmin", {"name": "www.corpus.test", "type": "A", "values": ["192.0.2.1"]}),
    ("GET", "/dns/records/{name}/{type}", "sysadmin", None),
    ("PUT", "/dns/records/{name}/{type}", "sysadmin", {"values": ["192.0.2.1"]}),
    ("DELETE", "/dns/records/{name}/{type}", "sysadmin", None),
    ("GET", "/controller", "sysadmin", None),
    ("POST", "/controller/resume", "sysadmin", {}),
    ("POST", "/registry/check", "sysadmin", {}),
    ("POST", "/registry/rotate-key", "sysadmin", None),
    ("POST", "/logout", "person", None),
]
_OPERATION = "0d9f7c1e-4e0c-4f43-9d53-1f3bb0a7b1ce"
_DEPLOYMENT = "20260131T120000Z-1a2b3c4d"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    people = tuple(name for name in PEOPLE.values() if name)
    with web(tmp_path_factory.mktemp("r"), people) as made:
        with made.registry.session() as session:
            node = ComputeNode(name="node1", minion_id="node1.corpus.test", host="192.0.2.1", state="ready")
            ada, dan, vic = (Owner(name=name) for name in ("ada", "dan", "vic"))
            platform = Platform(uuid="p-1", node=node, type="prod", operation_mode="final", owner=ada)
            guest = Guest(name="shop", minion_id="shop.corpus.test", platform=platform)
            shop = Project(name="shop")
            session.add_all([platform, guest, shop, Placement(project=shop, guest=guest)])
            told = {"guest": guest, "project": shop, "deployment_id": _DEPLOYMENT, "result": True, "started": now()}
            session.add(Deployment(**told, report={}))
            for owner, name in ((ada, "owner"), (dan, "deployer"), (vic, "viewer")):
                session.add(Role(owner=owner, project=shop, name=name))
            session.add_all([Role(owner=dan, platform=platform, name="deployer")])
            session.add_all([Role(owner=vic, platform=platform, name="viewer")])
            session.add(
                Operation(uuid=_OPERATION, kind="guest.stop", subject="guest:shop", who="root1", state="failed")
            )
        yield made


@pytest.fixture(scope="module")
def people(there: Web) -> dict[str, httpx.Client]:
    return {
        role: there.person(name, sysadmin=role == "sysadmin") if name else there.client()
        for role, name in PEOPLE.items()
    }


def _address(path: str) -> str:
    name = "ada" if path.startswith("/owners") else "node1" if path.startswith("/nodes") else "shop"
    name = "www.corpus.test" if path.startswith("/dns") else name
    given = {
        "name": name,
        "uuid": "p-1",
        "owner": "vic",
        "operation": _OPERATION,
        "account": "none",
        "zone": "corpus.test",
        "guest": "shop",
        "deployment": _DEPLOYMENT,
        "variable": "A",
    }
    return path.format(**given, label="before", fqdn="www.example.org", type="A", token=_OPERATION)


def _answered(client: httpx.Client, method: str, path: str, body: object) -> tuple[int, str]:
    """The status, and what is said of what was refused; a stream is not waited for."""
    query = {} if method == "GET" else {"plan": "true", "confirm": "shop", "key": KEY}
    headers = {"If-Match": '"1"'} if method == "PUT" else {}
    with client.stream(method, _address(path), params=query, json=body, headers=headers) as answer:
        if answer.status_code < 400:
            return answer.status_code, ""
        return answer.status_code, str(httpx.Response(200, content=answer.read()).json().get("detail"))


def test_the_table_has_every_endpoint(there: Web) -> None:
    paths = there.client().get("/openapi.json").json()["paths"]
    there_are = {
        (method.upper(), path.removeprefix("/api/v1")) for path, methods in paths.items() for method in methods
    }
    assert there_are == {(method, path) for method, path, _, _ in TABLE}


@pytest.mark.parametrize(("method", "path", "least", "body"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_who_may(there: Web, people: dict[str, httpx.Client], method: str, path: str, least: str, body: object) -> None:
    roles = list(PEOPLE)
    for role in roles[roles.index(least) + 1 :]:
        status, words = _answered(people[role], method, path, body)
        assert status in ((401,) if role == "anybody" else (403, 404)), (role, status, words)
    # Who may more is asked for what only reads: the master takes its time for the rest.
    for role in roles[: roles.index(least) + 1] if method == "GET" else [least]:
        status, words = _answered(people[role], method, path, body)
        assert status not in (401, 403), (role, status, words)
        assert "not yours to see" not in words, (role, status, words)
        assert "not as it should be" not in words, (role, status, words)


#: What a token says nothing of: whoever is let in at all may ask. A stream tells what the token is good for.
_OF_ALL_TOKENS = {"/health", "/ready", "/metrics", "/login", "/logout", "/links", "/me", "/events"}


@pytest.mark.parametrize(("method", "path", "least", "body"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_a_token_for_something_else_is_not_good(
    there: Web, people: dict[str, httpx.Client], method: str, path: str, least: str, body: object
) -> None:
    if path in _OF_ALL_TOKENS:
        return
    scope = "machine" if path.startswith("/images") else "image"
    made = people["sysadmin"].post("/tokens", json={"name": "other", "scopes": [scope]}).json()
    try:
        status, words = _answered(there.client(made["token"]), method, path, body)
        assert (status, words.startswith("This token is not good for")) == (403, True), (status, words)
    finally:
        people["sysadmin"].delete(f"/tokens/{made['uuid']}")


def test_the_operations_were_plans(there: Web) -> None:
    with there.registry.reading() as session:
        assert [one.uuid for one in session.scalars(select(Operation))] == [_OPERATION]
