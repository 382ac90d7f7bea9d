"""A separator as a directory: config.json, model.safetensors and a README."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.files.model_files import foreign, read_settings, read_weights, unreadable
from models.separation.vocals import SCORE_VERSION

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


class _Arguments(BaseModel):
    """Arguments that could hang the construction or exhaust memory; HTDemucs checks the rest."""

    model_config = ConfigDict(extra="allow", strict=True)

    sources: list[str] = Field(min_length=1, max_length=64)
    segment: str | float = Field()
    samplerate: int = Field(default=44_100, ge=1, le=768_000)
    channels: int = Field(default=48, ge=1, le=4096)
    depth: int = Field(default=4, ge=1, le=10)
    nfft: int = Field(default=4096, ge=64, le=2**17)
    t_layers: int = Field(default=5, ge=0, le=256)


class _Config(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    arguments: _Arguments
    vocal_threshold: float | None = Field(default=None, allow_inf_nan=False)
    vocal_score: int = Field(default=1)


def save_separator(model: HTDemucs, directory: Path | str, vocal_threshold: float | None = None) -> Path:
    """Write a separator's constructor arguments and weights to a directory, created if missing.

    `vocal_threshold` is the measured vocal score above which a song counts as sung, or None. The version of the score
    is stored with it.
    """
    from safetensors.torch import save_file

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"architecture": "HTDemucs", "arguments": _constructor_arguments(model)}
    if vocal_threshold is not None:
        config |= {"vocal_threshold": float(vocal_threshold), "vocal_score": SCORE_VERSION}
    (directory / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, directory / WEIGHTS)
    (directory / "README.md").write_text(_readme(config), encoding="utf-8")
    return directory


def stored_threshold(config: Mapping[str, Any]) -> float | None:
    """The vocal threshold in a separator's configuration, if it has one for the current score version."""
    threshold = config.get("vocal_threshold")
    # Loading the separator refuses values that are not numbers.
    return float(threshold) if isinstance(threshold, int | float) and not outdated_threshold(config) else None


def outdated_threshold(config: Mapping[str, Any]) -> bool:
    """Whether a separator's vocal threshold was measured with the score of an earlier release."""
    return config.get("vocal_threshold") is not None and config.get("vocal_score", 1) != SCORE_VERSION


def load_separator_directory(directory: Path | str) -> tuple[HTDemucs, dict[str, Any]]:
    """Load the network that :func:`save_separator` wrote, in evaluation mode, and its configuration.

    Raises:
        StemsError: the directory lacks a file, or its weights do not fit its configuration.
    """
    from demucs.htdemucs import HTDemucs

    directory = Path(directory)
    config = read_settings(directory / CONFIG, "separator")
    arguments = _checked_arguments(directory / CONFIG, config)
    with foreign(directory / CONFIG, "separator"), torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in HTDemucs(**arguments).state_dict().items()}
    weights = read_weights(directory / WEIGHTS, shapes, "separator")
    model = HTDemucs(**arguments)
    model.load_state_dict(weights)
    return model.eval(), config


def _checked_arguments(file: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The network's arguments, after refusing those that would take forever or all memory."""
    try:
        about = _Config.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise unreadable(file, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "separator") from error
    arguments: dict[str, Any] = dict(config["arguments"])
    with foreign(file, "separator"):
        segment = Fraction(about.arguments.segment)
        if not 0 < segment <= 3600:
            raise ValueError(f"arguments.segment is {segment}")
    return arguments | ({"segment": segment} if isinstance(arguments["segment"], str) else {})


def _constructor_arguments(model: HTDemucs) -> dict[str, Any]:
    # demucs keeps the arguments of every model that it builds; add the defaults, so that the file keeps its meaning
    # when a later demucs has other defaults.
    args, kwargs = model._init_args_kwargs
    bound = inspect.signature(type(model)).bind(*args, **kwargs)
    bound.apply_defaults()
    arguments = dict(bound.arguments)
    if isinstance(arguments["segment"], Fraction):
        arguments["segment"] = str(arguments["segment"])
    return arguments


def _readme(config: dict[str, Any]) -> str:
    arguments = config["arguments"]
    return (
        "# Separator\n\n"
        f"Hybrid Transformer Demucs: {arguments['samplerate']} Hz stereo in, one stereo signal out "
        f"for each of {', '.join(arguments['sources'])}. Its segment is {arguments['segment']} s.\n\n"
        "`config.json` holds the arguments of `demucs.htdemucs.HTDemucs`, `model.safetensors` its weights.\n"
        "Open it with `models.separation.Separator.load(directory)`.\n"
    )
