"""What Schemathesis makes of the OpenAPI document: the service answers as it is documented, and never fails."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.engine import events, from_schema
from schemathesis.python import asgi

from models.audio.files import Audio, encode_audio
from serving.config import ServeConfig
from serving.http.api import create_app

NAMES = ["bass", "drums", "other"]
FORMS = ("/v1/edits", "/v1/variations", "/v1/continuations")

# A service that is busy is documented, and so is a job that is cancelled and still there. Which fields of a form
# go together no schema can tell. Ids that were answered are not to be taken for songs.
CONFIG = {
    "workers": 1,
    "seed": 1,
    "continue-on-failure": True,
    "generation": {
        "deterministic": True,
        "max-examples": 5,
        "no-shrink": True,
        "database": "none",
        "allow-x00": False,
    },
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
        "use_after_free": {"enabled": False},
    },
    "phases": {"stateful": {"max-steps": 5, "inference": {"algorithms": []}}},
    "operations": [
        {
            "include-path": path,
            "checks": {"positive_data_acceptance": {"enabled": False}},
            "phases": {phase: {"extra-data-sources": {"responses": False}} for phase in ("coverage", "fuzzing")},
        }
        for path in FORMS
    ],
}


def narrowed(document: dict[str, Any], earlier: str) -> dict[str, Any]:
    """The document, with what only the model, its operator and earlier answers can tell: so that much is taken."""
    document = copy.deepcopy(document)
    song = document["components"]["schemas"]["SongRequest"]
    song["properties"]["seconds"]["maximum"] = 1
    song["required"] = ["seconds"]
    del song["properties"]["webhook"], song["example"]
    edit, variation, continuation = (
        document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"] for path in FORMS
    )
    for form in (edit, variation, continuation):
        del form["example"], form["schema"]["properties"]["webhook"]
        form["schema"]["properties"].pop("region", None)
        form["schema"]["additionalProperties"] = False
    edit["schema"]["required"] = ["song", "regenerate"]
    edit["schema"]["properties"]["regenerate"] |= {"items": {"enum": NAMES}, "minItems": 1}
    del edit["schema"]["properties"]["of"], edit["schema"]["properties"]["silent"]
    variation["schema"]["required"] = ["of", "stem"]
    variation["schema"]["properties"] |= {"of": {"enum": [earlier]}, "stem": {"enum": NAMES}}
    del variation["schema"]["properties"]["song"]
    continuation["schema"]["required"] = ["of", "seconds"]
    continuation["schema"]["properties"] |= {"of": {"enum": [earlier]}, "seconds": {"enum": [0.5]}}
    del continuation["schema"]["properties"]["song"], continuation["schema"]["properties"]["regenerate"]
    # A name that is used again belongs to another request: only one operation gets names.
    for path in ("/v1/songs", "/v1/edits", "/v1/continuations"):
        parameters = document["paths"][path]["post"]["parameters"]
        parameters[:] = [entry for entry in parameters if entry["name"] != "Idempotency-Key"]
    known = {"job": [earlier], "file": ["song.zip", "mix.mp3", "bass.flac", "codes.npy"]}
    results = document["paths"]["/v1/results/{job}/{file}"]
    for operation in (results["get"], results["head"], document["paths"]["/v1/jobs/{job}"]["head"]):
        for entry in (entry for entry in operation["parameters"] if entry["in"] == "path"):
            entry["schema"] = {"enum": known[entry["name"]]}
    return document


@pytest.fixture(scope="module")
def described(band: Any, model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("fuzzed")
    settings = ServeConfig(
        model=str(model_directory),
        slots=4,
        max_upload_mb=1,
        max_seconds=1,
        requests_per_minute=100_000,
        hosts=("testserver", "localhost"),
        state=f"sqlite:///{folder}/state.db",
        results=str(folder / "results"),
    )
    app = create_app(settings, band)
    with asgi.get_client(app) as client:
        headers = {"Prefer": "wait=60", "Accept": "application/json"}
        earlier = client.post("/v1/songs", json={"seconds": 0.5}, headers=headers).json()["id"]
    config = schemathesis.Config.from_dict(CONFIG)
    schema = schemathesis.openapi.from_dict(narrowed(app.openapi(), earlier), config=config)
    schema.app = app
    short = encode_audio(Audio(np.full((1, 8000), 0.1, np.float32), 16_000), "flac")
    schemathesis.openapi.format("binary", st.sampled_from([short, short[: len(short) // 2], b"no sound"]))
    yield schema
    asgi.shutdown_lifespans()


def test_a_client_that_tries_everything_gets_what_is_documented(described: Any) -> None:
    faults, answered = [], set()
    for event in from_schema(described).execute():
        crashed = isinstance(event, events.NonFatalError | events.FatalError)
        if crashed and "AST constructor recursion depth mismatch" not in str(
            event
        ):  # CPython 3.11's own, now and then
            faults.append(str(event))
        if isinstance(event, events.ScenarioFinished):
            tried = event.recorder
            for case, exchange in tried.interactions.items():
                if exchange.response is not None and exchange.response.status_code < 300:
                    answered.add(tried.cases[case].value.operation.label)
            for check in (check for checks in tried.checks.values() for check in checks):
                if check.failure_info is not None:
                    failure = check.failure_info
                    faults.append(f"{check.name}: {failure.failure.message}\n{failure.code_sample}")
    assert not faults, "\n\n".join(faults)
    assert answered == {found.ok().label for found in described.get_all_operations()}
