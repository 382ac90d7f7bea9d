"""A codec's files on disk, checked before a library opens them: it would guess, warn or hang."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import StemsError
from models.files.model_files import check_file, foreign, read_settings, unreadable

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_MOST_CODEBOOKS = 256
_Width = Annotated[int, Field(ge=1, le=2**15)]
_Layers = Annotated[int, Field(ge=0, le=64)]


class _Config(BaseModel):
    """Settings that could hang a library or exhaust memory; transformers checks the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    model_type: str
    sampling_rate: int = Field(ge=1, le=768_000)
    audio_channels: int = Field(ge=1, le=64)
    target_bandwidths: list[float] = Field(min_length=1)
    upsampling_ratios: list[Annotated[int, Field(ge=1, le=1024)]] = Field(min_length=1, max_length=16)
    hidden_size: _Width
    num_filters: _Width
    codebook_size: int = Field(ge=2, le=2**20)
    num_lstm_layers: _Layers
    num_residual_layers: _Layers = 1

    def codebooks(self) -> int:
        """The number of codebooks, as transformers derives it."""
        frame_rate = math.ceil(self.sampling_rate / math.prod(self.upsampling_ratios))
        return int(1000 * self.target_bandwidths[-1] // (frame_rate * math.ceil(math.log2(self.codebook_size))))


def read_codec_config(directory: Path | str) -> Any:
    """The ``transformers.EncodecConfig`` of a saved codec.

    Raises:
        StemsError: as :func:`read_codec_settings`.
    """
    settings = read_codec_settings(directory)
    from transformers import EncodecConfig

    with foreign(Path(directory) / "config.json", "codec"):
        return EncodecConfig(**settings)


def read_codec_settings(directory: Path | str) -> dict[str, Any]:
    """The ``config.json`` of a saved codec.

    Raises:
        StemsError: it is missing, damaged, or belongs to another kind of model.
    """
    file = Path(directory) / "config.json"
    if not file.exists() and not file.is_symlink():
        raise StemsError(
            f"There is no codec in {directory}.",
            "Name a directory with config.json and model.safetensors, as `stems train codec` writes them.",
            code="missing",
            field="codec",
        )
    settings = read_settings(file, "codec")
    try:
        config = _Config.model_validate(settings)
        codebooks = config.codebooks()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise unreadable(file, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "codec") from error
    except (ValueError, OverflowError) as error:
        raise unreadable(file, f"its bandwidths are {settings['target_bandwidths']}", "codec") from error
    if config.model_type != "encodec":
        raise unreadable(file, f"it describes a model of type {config.model_type!r}, not an EnCodec", "codec")
    if not 1 <= codebooks <= _MOST_CODEBOOKS:
        raise unreadable(file, f"its bandwidth yields {codebooks} codebooks", "codec")
    return settings


def check_codec_files(directory: Path) -> None:
    """Refuse a codec whose files are missing or could crash a library."""
    read_codec_config(directory)
    there = [file for name in _WEIGHTS if (file := directory / name).exists()]
    check_file(there[0] if there else directory / _WEIGHTS[0], "codec")
