"""A request is taken or refused alike over HTTP, by `stems generate` and by `stems request`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import cli
from models.audio.files import Audio, encode_audio
from models.errors import StemsError
from pipelines.composing.config import EditConfig, GenerateConfig
from serving.client.client import Stems
from serving.client.command import RequestEditConfig, RequestSongConfig
from serving.kinds.edit import EditRequest
from serving.kinds.song import SongRequest

NEEDED: dict[type[BaseModel], dict[str, Any]] = {
    GenerateConfig: {"model": "m"},
    EditConfig: {"model": "m", "song": "s"},
    RequestSongConfig: {},
    RequestEditConfig: {"song": "s"},
    SongRequest: {},
    EditRequest: {},
}

TAKEN: dict[str, list[Any]] = {
    "seed": [0, 7, 2**53 - 1],
    "prompt": ["", "ü ♪ 静かな", "x" * 2000, "a\nb\t"],
    "seconds": [0.5, 10],
    "guidance": [0, 20],
    "temperature": [0, 10],
    "top_k": [0, 1_000_000],
    "top_p": [0, 1],
}
REFUSED: dict[str, list[Any]] = {
    "seed": [-1, 2**53, 2**64, 1.5, "x"],
    "prompt": ["x" * 2001, "nul \0", "half \ud83c"],
    "seconds": [0, 0.49, -1, float("nan"), float("inf")],
    "guidance": [-0.1, 20.1, float("nan")],
    "temperature": [-0.1, 10.1],
    "top_k": [-1, 1_000_001],
    "top_p": [-0.1, 1.1],
}
CASES = [
    (name, value, kind)
    for kind, table in ((True, TAKEN), (False, REFUSED))
    for name in table
    for value in table[name]
]


def takes(model: type[BaseModel], name: str, value: Any) -> bool:
    try:
        model.model_validate(NEEDED[model] | {name: value})
    except ValidationError as error:
        return {str(problem["loc"][0]) for problem in error.errors()} != {name}
    return True


@pytest.mark.parametrize(("name", "value", "taken"), CASES)
def test_every_way_in_has_the_same_bounds(name: str, value: Any, taken: bool) -> None:
    models = [model for model in NEEDED if name in model.model_fields]
    assert len(models) >= 3
    assert {model: takes(model, name, value) for model in models} == dict.fromkeys(models, taken)


@given(
    st.sampled_from(["seed", "seconds", "guidance", "temperature", "top_k", "top_p", "prompt"]),
    st.one_of(
        st.integers(-(2**60), 2**60),
        st.floats(),
        st.text(st.characters(exclude_categories=())),
        st.booleans(),
        st.none(),
    ),
)
def test_no_value_is_taken_by_one_and_refused_by_the_other(name: str, value: Any) -> None:
    models = [model for model in NEEDED if name in model.model_fields]
    assert len({takes(model, name, value) for model in models}) == 1


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value, taken in CASES if not taken])
def test_the_shell_answers_2_where_http_answers_422(
    local: TestClient, tmp_path: Path, capsys: Any, name: str, value: Any
) -> None:
    body = json.dumps({"seconds": 1} | {name: value})
    answer = local.post("/v1/songs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, name)
    for command in (["generate", "--model", str(tmp_path)], ["request", "song", "--server", "http://127.0.0.1:9"]):
        assert cli.main([*command, *words(name, value, tmp_path)]) == 2
        assert f"--{name.replace('_', '-')} " in capsys.readouterr().err


def words(name: str, value: Any, folder: Path) -> list[str]:
    """A setting on the command line; in a file where the command line cannot hold it."""
    if "\0" not in str(value):
        return [f"--{name}={value}"]
    settings = folder / "settings.yaml"
    settings.write_text(json.dumps({name: value}))
    return ["--config", str(settings)]


def test_a_sound_shorter_than_the_shortest_song_is_refused_alike(
    local: TestClient, model_directory: Path, tmp_path: Path, capsys: Any
) -> None:
    short = encode_audio(Audio(np.full((1, 3200), 0.1, np.float32), 8000))
    answer = local.post("/v1/edits", files={"song": ("s.wav", short)}, data={"regenerate": "bass"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stems:problem:too_short")
    (tmp_path / "s.wav").write_bytes(short)
    (tmp_path / "stems").mkdir()
    (tmp_path / "stems" / "bass.wav").write_bytes(short)
    for song in ("s.wav", "stems"):
        edit = ["edit", "--model", str(model_directory), "--output", str(tmp_path / "out"), "--regenerate=[drums]"]
        assert cli.main([*edit, "--song", str(tmp_path / song)]) == 2
        assert "lasts 0.40 s. Send at least 0.5." in capsys.readouterr().err


def test_a_client_says_that_a_prompt_is_not_text_before_it_sends_anything() -> None:
    with Stems("http://127.0.0.1:9", patience=0) as stems:
        for ask in (stems.song, stems.edit):
            with pytest.raises(StemsError, match="not text") as refused:
                ask("half \ud83c")
            assert refused.value.field == "prompt"
