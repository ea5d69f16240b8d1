"""A small OpenStack for tests: identity, compute, images and networks, of one project, over real HTTP on loopback."""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PASSWORD = "cloud-password-Eeph7aif"


@dataclass
class OpenStack:
    """What the cloud has, and what it was asked.

    :param states: that a new server goes through, one each time that servers are listed
    :param refuses: the message with which it refuses new servers
    """

    url: str = ""
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    states: tuple[str, ...] = ("BUILD", "BUILD", "ACTIVE")
    refuses: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    images = ({"id": "11111111-aaaa", "name": "debian-12"}, {"id": "22222222-aaaa", "name": "debian-12-old"})
    flavors = ({"id": "f1", "name": "small"}, {"id": "f2", "name": "large"})
    networks = ({"id": "net-1", "name": "private"},)

    def answer(
        self, method: str, path: str, body: dict[str, Any], token: str | None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers of an answer."""
        if path == "/v3/auth/tokens":
            given = body["auth"]["identity"]["password"]["user"]
            if (given["name"], given["password"]) != ("corpus", PASSWORD):
                return 401, {"error": {"message": "no", "code": 401}}, {}
            return 201, {"token": self._token()}, {"X-Subject-Token": "a-token"}
        if token != "a-token":
            return 401, {"error": {"message": "no token", "code": 401}}, {}
        words = path.split("?")[0].strip("/").split("/")
        match method, words[1:]:
            case "GET", [_, _, "flavors", *_]:
                more = {
                    "ram": 2048,
                    "disk": 20,
                    "vcpus": 1,
                    "links": [],
                    "swap": "",
                    "rxtx_factor": 1.0,
                    "os-flavor-access:is_public": True,
                    "OS-FLV-EXT-DATA:ephemeral": 0,
                    "OS-FLV-DISABLED:disabled": False,
                }
                return 200, {"flavors": [{**one, **more} for one in self.flavors]}, {}
            case "GET", ["v2", "images"]:
                more = {
                    "status": "active",
                    "min_disk": 0,
                    "min_ram": 0,
                    "created_at": "2026-01-01T00:00:00Z",
                    "updated_at": "2026-01-01T00:00:00Z",
                }
                return 200, {"images": [{**one, **more} for one in self.images], "next": None}, {}
            case "GET", ["v2.0", "networks"]:
                more = {"subnets": [], "tenant_id": "p", "admin_state_up": True, "shared": False, "status": "ACTIVE"}
                return 200, {"networks": [{**one, **more, "router:external": False} for one in self.networks]}, {}
            case "GET", [_, _, "os-keypairs"]:
                return 200, {"keypairs": [{"keypair": self._key(name)} for name in self.keys]}, {}
            case "POST", [_, _, "os-keypairs"]:
                self.keys[body["keypair"]["name"]] = body["keypair"]["public_key"]
                return 200, {"keypair": self._key(body["keypair"]["name"])}, {}
            case "POST", [_, _, "servers"]:
                if self.refuses:
                    return 403, {"forbidden": {"message": self.refuses, "code": 403}}, {}
                made = {"id": f"server-{next(self.numbers)}", "asked": body["server"], "looked": 0}
                self.servers[made["id"]] = made
                return 202, {"server": {"id": made["id"], "adminPass": "x", "links": []}}, {}
            case "GET", [_, _, "servers", "detail"]:
                for one in self.servers.values():
                    one["looked"] += 1
                return 200, {"servers": [self._server(one) for one in self.servers.values()]}, {}
            case "GET", [_, _, "servers", wanted]:
                return 200, {"server": self._server(self.servers[wanted])}, {}
            case "DELETE", [_, _, "servers", wanted]:
                del self.servers[wanted]
                return 204, None, {}
        return 404, {"itemNotFound": {"message": f"nothing at {path}", "code": 404}}, {}

    def _server(self, one: dict[str, Any]) -> dict[str, Any]:
        state = self.states[min(max(one["looked"] - 1, 0), len(self.states) - 1)]
        addresses = {"private": [{"addr": "10.1.0.5", "version": 4}, {"addr": "2001:db8::5", "version": 6}]}
        if state == "ACTIVE":
            addresses["private"].append({"addr": "198.51.100.5", "version": 4, "OS-EXT-IPS:type": "floating"})
        return {
            "id": one["id"],
            "name": one["asked"]["name"],
            "status": state,
            "addresses": addresses if state == "ACTIVE" else {},
            "metadata": one["asked"].get("metadata", {}),
            "hostId": "",
            "tenant_id": "p",
            "user_id": "u",
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z",
            "image": {"id": one["asked"]["imageRef"]},
            "flavor": {"id": one["asked"]["flavorRef"]},
            "key_name": one["asked"].get("key_name"),
            "links": [{"rel": "self", "href": ""}],
        }

    def _key(self, name: str) -> dict[str, str]:
        return {"name": name, "public_key": self.keys[name], "fingerprint": "00:11"}

    def _token(self) -> dict[str, Any]:
        names = {"compute": ("nova", "v2.1/p"), "image": ("glance", ""), "network": ("neutron", "")}
        catalog = [
            {
                "type": kind,
                "name": name,
                "endpoints": [
                    {"region": "one", "interface": "public", "url": f"{self.url}/{kind}/{path}".rstrip("/"), "id": kind}
                ],
            }
            for kind, (name, path) in names.items()
        ]
        return {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "corpus", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "member"}],
            "catalog": catalog,
        }


@contextmanager
def openstack() -> Iterator[OpenStack]:
    """Run it until the block ends."""
    cloud = OpenStack()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or "{}") if length else {}
            status, answer, headers = cloud.answer(self.command, self.path, body, self.headers.get("X-Auth-Token"))
            data = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                **headers,
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _do  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        cloud.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield cloud
        finally:
            server.shutdown()
            thread.join()
