"""A language model's ``config.json`` on disk: types and bounds, checked before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import StemsError
from models.files.model_files import read_settings, unreadable

_Width = Annotated[int, Field(ge=1, le=2**16)]
_Frames = Annotated[int, Field(ge=1, le=2**20)]


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Stem(_Stored):
    name: str
    codebooks: int = Field(ge=1, le=256)
    delays: list[Annotated[int, Field(ge=0, le=2**16)]] = []


class _Text(_Stored):
    kind: Literal["bytes", "t5"] = "bytes"
    name: str = ""
    dim: _Width = 128
    max_length: int = Field(default=256, ge=1, le=2**16)


class _Config(_Stored):
    layout: list[_Stem]
    cardinality: int = Field(ge=1, le=2**20)
    dim: _Width
    heads: _Width
    layers: int = Field(ge=1, le=1024)
    segment_frames: _Frames
    feed_forward_ratio: int = Field(default=4, ge=1, le=64)
    frame_rate: float = Field(default=50.0, gt=0, allow_inf_nan=False)
    text: _Text = _Text()
    codecs: dict[str, str] = {}


def read_lm_config(directory: Path | str) -> dict[str, Any]:
    """The settings of a saved language model.

    Raises:
        StemsError: the file is missing or damaged, or has an impossible value.
    """
    file = Path(directory) / "config.json"
    settings = read_settings(file, "model")
    try:
        config = _Config.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise unreadable(file, f"{where}: {first['msg']}", "model") from error
    text_divides = 4 if config.text.kind == "bytes" else 1  # heads of its one layer
    for name, dim, divisor in (
        ("dim", config.dim, config.heads),
        ("dim", config.dim, 2),  # halves of its positions
        ("text.dim", config.text.dim, text_divides),
    ):
        if dim % divisor:
            raise unreadable(file, f"{name} is {dim}, not a multiple of {divisor}", "model")
    return settings


def naming_file(directory: Path | str, error: StemsError) -> StemsError:
    """The same error, extended by the file name of the saved configuration."""
    return unreadable(Path(directory) / "config.json", error.message.rstrip("."), "model", error.hint)
