from __future__ import annotations

import json
from typing import Any

from fastapi.testclient import TestClient

from serving.kinds.edit import EditRequest
from serving.kinds.registry import KINDS
from serving.kinds.song import SongRequest
from serving.kinds.variation import VariationRequest


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()


def test_every_reference_resolves(local: TestClient) -> None:
    document = local.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    prefix = "#/components/schemas/"
    found = references(document)
    assert f"{prefix}Problem" in found
    assert {name for name in found if name.removeprefix(prefix) not in schemas} == set()


def test_examples_are_taken_by_the_models(local: TestClient) -> None:
    document = local.get("/openapi.json").json()
    assert SongRequest.model_validate(document["components"]["schemas"]["SongRequest"]["example"]).seed == 7
    form = document["paths"]["/v1/edits"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert EditRequest.model_validate(form["example"]).regenerate == ["bass"]
    assert {"song", *EditRequest.model_fields} == set(form["schema"]["properties"])
    form = document["paths"]["/v1/variations"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert VariationRequest.model_validate(form["example"]).stem == "other"


def test_every_route_is_documented_with_its_failures(local: TestClient) -> None:
    document = local.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/songs",
        "/v1/edits",
        "/v1/variations",
        "/v1/continuations",
        "/v1/jobs/{job}",
        "/v1/jobs/{job}/events",
        "/v1/results/{job}/{file}",
        "/v1/model",
        "/livez",
        "/readyz",
        "/metrics",
    }
    for path in ("/v1/songs", "/v1/edits", "/v1/variations", "/v1/continuations"):
        responses = document["paths"][path]["post"]["responses"]
        assert {"200", "202", "401", "406", "408", "413", "415", "422", "429", "503"} <= set(responses)
        assert {"application/zip", "application/json", "audio/flac"} <= set(responses["200"]["content"])
        assert "Retry-After" in responses["503"]["headers"]
        assert list(responses["422"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in json.dumps(document)


def test_head_is_documented_beside_every_get_but_that_of_events(local: TestClient) -> None:
    paths = local.get("/openapi.json").json()["paths"]
    missing = {path for path, operations in paths.items() if "get" in operations and "head" not in operations}
    assert missing == {"/v1/jobs/{job}/events"}
    heads = [operations["head"] for operations in paths.values() if "head" in operations]
    assert not any("content" in response for head in heads for response in head["responses"].values())
    names = [operation["operationId"] for operations in paths.values() for operation in operations.values()]
    assert len(set(names)) == len(names)


def test_refusals_of_foreign_pages_and_parts_are_documented(local: TestClient) -> None:
    paths = local.get("/openapi.json").json()["paths"]
    assert all("403" in operation["responses"] for operations in paths.values() for operation in operations.values())
    result = paths["/v1/results/{job}/{file}"]["get"]
    assert {"200", "206", "304", "416"} <= set(result["responses"])
    assert {"Range", "If-Range", "If-None-Match"} <= {entry["name"] for entry in result["parameters"]}


def test_the_example_of_every_kind_of_request_is_taken_by_it(local: TestClient) -> None:
    paths = local.get("/openapi.json").json()["paths"]
    for kind in KINDS.values():
        assert kind.path in paths
        assert kind.request.model_validate(kind.request.model_json_schema()["example"]).seed == 7
