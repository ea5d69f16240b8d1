"""What OpenAPI tells of the API, and that it has everything that the runners of the controller do."""

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from corpus.web import app, settings

from tests.machine import CHECKOUT

#: Where each function of a runner is in the API.
ENDPOINTS = {
    "mc_compute_node.init": "POST /nodes",
    "mc_compute_node.link": "POST /nodes/link",
    "mc_compute_node.unlink": "DELETE /nodes/{name}",
    "mc_compute_node.list": "GET /nodes",
    "mc_compute_node.infos": "GET /nodes/{name}",
    "mc_compute_node.switchmode": "POST /platforms/{uuid}/mode",
    "mc_compute_node.configure": "PUT /nodes/{name}/settings",
    "mc_compute_node.platform_create": "POST /platforms",
    "mc_compute_node.platform_configure": "PUT /platforms/{uuid}/settings",
    "mc_compute_node.platform_delete": "DELETE /platforms/{uuid}",
    "mc_compute_node.add_key": "POST /nodes/{name}/keys",
    "mc_compute_node.remove_key": "DELETE /nodes/{name}/keys",
    "mc_compute_node.link_dns": "POST /nodes/{name}/names",
    "mc_compute_node.drain": "POST /nodes/{name}/drain",
    "mc_compute_node.undrain": "POST /nodes/{name}/undrain",
    "mc_compute_node.image_sync": "POST /nodes/{name}/images",
    "mc_compute_node.image_build": "POST /images",
    "mc_compute_node.image_list": "GET /images",
    "mc_guest.create": "POST /guests",
    "mc_guest.delete": "DELETE /guests/{name}",
    "mc_guest.list": "GET /guests",
    "mc_guest.infos": "GET /guests/{name}",
    "mc_guest.start": "POST /guests/{name}/start",
    "mc_guest.stop": "POST /guests/{name}/stop",
    "mc_guest.restart": "POST /guests/{name}/restart",
    "mc_guest.enlarge": "POST /guests/{name}/enlarge",
    "mc_guest.trim": "POST /guests/{name}/trim",
    "mc_guest.snapshot": "POST /guests/{name}/snapshots",
    "mc_guest.restore": "POST /guests/{name}/snapshots/{label}/restore",
    "mc_guest.delete_snapshot": "DELETE /guests/{name}/snapshots/{label}",
    "mc_guest.snapshots": "GET /guests/{name}/snapshots",
    "mc_guest.move": "POST /guests/{name}/move",
    "mc_guest.exec": "POST /guests/{name}/exec",
    "mc_guest.credentials": "POST /guests/{name}/credentials",
    "mc_guest.redeem": "POST /links",
    "mc_guest.link_dns": "POST /guests/{name}/names",
    "mc_guest.unlink_dns": "DELETE /guests/{name}/names/{fqdn}",
    "mc_project.create": "POST /projects",
    "mc_project.place": "POST /projects/{name}/placements",
    "mc_project.unplace": "DELETE /projects/{name}/placements/{guest}",
    "mc_project.destroy": "DELETE /projects/{name}",
    "mc_project.push": "POST /projects/{name}/push",
    "mc_project.rollback": "POST /projects/{name}/rollback",
    "mc_project.maintenance": "PUT /projects/{name}/maintenance",
    "mc_project.scale": "PUT /projects/{name}/scale",
    "mc_project.restart": "POST /projects/{name}/restart",
    "mc_project.env_set": "PUT /projects/{name}/env",
    "mc_project.env_unset": "DELETE /projects/{name}/env/{variable}",
    "mc_project.deployments": "GET /projects/{name}/deployments",
    "mc_project.grant": "POST /projects/{name}/roles",
    "mc_project.revoke": "DELETE /projects/{name}/roles/{owner}",
    "mc_project.list": "GET /projects",
    "mc_project.infos": "GET /projects/{name}",
    "mc_dns.zones": "GET /dns/zones",
    "mc_dns.records": "GET /dns/zones/{zone}/records",
    "mc_dns.create_zone": "POST /dns/zones",
    "mc_dns.delete_zone": "DELETE /dns/zones/{zone}",
    "mc_dns.plan": "GET /dns/plan",
    "mc_dns.apply": "POST /dns/apply",
    "mc_dns.add": "POST /dns/records",
    "mc_dns.remove": "DELETE /dns/records/{name}/{type}",
    "mc_dns.dnssec": "PUT /dns/zones/{zone}/dnssec",
    "mc_dns.export": "GET /dns/zones/{zone}/export",
    "mc_machine.list": "GET /machines/{account}",
    "mc_machine.create": "POST /machines/{account}",
    "mc_machine.destroy": "DELETE /machines/{account}/{name}",
    "mc_controller.report": "GET /controller",
    "mc_controller.operations": "GET /operations",
    "mc_controller.resume": "POST /controller/resume",
    "mc_owner.list": "GET /owners",
    "mc_owner.create": "POST /owners",
    "mc_owner.infos": "GET /owners/{name}",
    "mc_owner.delete": "DELETE /owners/{name}",
    "mc_owner.set_email": "PUT /owners/{name}/email",
    "mc_owner.add_key": "POST /owners/{name}/keys",
    "mc_owner.remove_key": "DELETE /owners/{name}/keys",
    "mc_owner.grant": "POST /owners/{name}/roles",
    "mc_owner.revoke": "DELETE /owners/{name}/roles",
    "mc_registry.check": "POST /registry/check",
    "mc_registry.rotate_key": "POST /registry/rotate-key",
}
#: Functions that are in no API, and why.
WITHOUT = {
    "mc_controller.init": "it makes the machine that the API would run on",
    "mc_controller.heard": "for the reactor",
    "mc_controller.answer": "for the web service itself",
    "mc_registry.upgrade": "the web does not work before",
    "mc_registry.export": "it writes a file of the controller's machine",
    "mc_registry.import": "it reads a file of the controller's machine, and replaces who may do what",
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("web")
    told = settings.WebSettings(
        registry=f"sqlite:///{folder}/r.sqlite3", url="https://corpus.example.org", password_file=folder / "p"
    )
    return app.create(told).openapi()


def operations(spec: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}": operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    }


def functions(path: Path) -> set[str]:
    """The functions of a runner, as people call them."""
    names = {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    return {f"{path.stem}.{name.rstrip('_')}" for name in names}


_RUNNERS = sorted({name.split(".")[0] for name in ENDPOINTS})


@pytest.mark.parametrize("runner", _RUNNERS)
def test_everything_that_runners_do_has_its_endpoint(spec: Any, runner: str) -> None:
    there = operations(spec)
    for function in functions(CHECKOUT / f"_runners/{runner}.py"):
        assert function in WITHOUT or function in ENDPOINTS, f"{function} has no endpoint"
        assert function in WITHOUT or ENDPOINTS[function] in there, f"{ENDPOINTS[function]} of {function} is missing"


def test_nothing_is_told_of_what_is_gone(spec: Any) -> None:
    known = set().union(*(functions(path) for path in (CHECKOUT / "_runners").glob("mc_*.py")))
    assert set(ENDPOINTS) | set(WITHOUT) <= known


def test_every_operation_has_a_name_a_tag_and_words_of_its_own(spec: Any) -> None:
    there = operations(spec)
    ids = Counter(operation["operationId"] for operation in there.values())
    assert [name for name, count in ids.items() if count > 1] == []
    tagged = {one["name"]: one["description"] for one in spec["tags"]}
    for where, operation in there.items():
        assert operation["description"].strip(), where
        assert len(operation["tags"]) == 1, where
        assert operation["tags"][0] in tagged, where


def test_errors_are_told_as_they_are(spec: Any) -> None:
    for where, operation in operations(spec).items():
        assert {"401", "403", "404", "422", "500"} <= set(operation["responses"]), where
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                assert list(answer["content"]) == ["application/problem+json"], (where, status)


def test_what_comes_in_and_goes_out_is_described(spec: Any) -> None:
    """Every field of ours has a type, and bodies refuse what they do not know."""
    for where, operation in operations(spec).items():
        body = operation.get("requestBody")
        if body is None:
            continue
        schema = body["content"]["application/json"]["schema"]
        given = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert given["additionalProperties"] is False, where
        good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert all("content" in answer or status == "204" for answer in good for status in operation["responses"])


def test_it_says_how_one_gets_in(spec: Any) -> None:
    assert set(spec["components"]["securitySchemes"]) == {"bearer", "cookie"}
    assert spec["components"]["securitySchemes"]["cookie"]["name"] == "__Host-corpus"
    there = operations(spec)
    assert there["POST /login"]["security"] == []
    assert "security" not in there["GET /guests"]
