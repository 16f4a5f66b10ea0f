import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.api.client import PROBLEM, description, problem


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def operations() -> list[tuple[str, dict[str, Any]]]:
    return [(f"{verb} {path}", one) for path, verbs in description()["paths"].items() for verb, one in verbs.items()]


def test_every_reference_leads_somewhere() -> None:
    known = {f"#/components/schemas/{name}" for name in description()["components"]["schemas"]}
    assert references(description()) <= known
    for schema in description()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_error_is_a_problem() -> None:
    for name, operation in operations():
        assert "default" in operation["responses"], name
        for status, response in operation["responses"].items():
            if status == "default" or (int(status) >= 400 and not name.endswith("/health")):
                assert list(response["content"]) == [PROBLEM], f"{name} {status}"


def test_every_operation_has_an_id_of_its_own_and_says_who_may() -> None:
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) == len(set(ids)) == 28
    for name, operation in operations():
        assert name.endswith("/health") or {"ApiKeyBearer", "ApiKeyHeader"} == {
            key for one in operation["security"] for key in one
        }


def test_no_parameter_is_null() -> None:
    """It would have to be sent as text, and the text "null" is refused."""
    for name, operation in operations():
        for parameter in operation.get("parameters", ()):
            assert '"null"' not in json.dumps(parameter), f"{name} {parameter['name']}"


def test_a_parameter_that_may_be_left_out_keeps_what_is_said_of_it() -> None:
    schemas = {one["name"]: one["schema"] for one in description()["paths"]["/api/v1/messages"]["get"]["parameters"]}
    assert schemas["status"] == {"$ref": "#/components/schemas/Status"}
    assert schemas["session_id"] == {"type": "string", "format": "uuid", "title": "Session Id"}
    assert (schemas["to"]["maxLength"], schemas["limit"]["default"]) == (40, 50)


def test_the_description_is_served_as_it_is(db: None) -> None:
    assert Client().get("/api/v1/openapi.json").json() == description()


@pytest.mark.parametrize("path", ["openapi.json", "docs"])
def test_the_description_is_only_read(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(f"/api/v1/{path}")
    assert problem(answer, 405, "method_not_allowed") and answer.headers["Allow"] == "GET, HEAD"


def test_the_docs_page_needs_nothing_from_outside(db: None) -> None:
    page = Client().get("/api/v1/docs").content.decode()
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert '"validatorUrl": null' in page
    assets = re.findall(r"""(?:src|href)=["']/static/([^"']+)""", page)
    assert len(assets) >= 3 and all(finders.find(asset) for asset in assets)
