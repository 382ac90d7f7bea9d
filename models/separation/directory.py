"""A separator as a directory: config.json, model.safetensors and a README for whoever opens it."""

from __future__ import annotations

import inspect
import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import StemsError

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def save_separator(model: HTDemucs, directory: Path | str, vocal_threshold: float | None = None) -> Path:
    """Write a separator's constructor arguments and weights to a directory, made where it is missing.

    `vocal_threshold` is the vocal score above which a song counts as sung, where it was measured.
    """
    from safetensors.torch import save_file

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"architecture": "HTDemucs", "arguments": _constructor_arguments(model)}
    if vocal_threshold is not None:
        config["vocal_threshold"] = float(vocal_threshold)
    (directory / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, directory / WEIGHTS)
    (directory / "README.md").write_text(_readme(config))
    return directory


def load_separator_directory(directory: Path | str) -> tuple[HTDemucs, dict[str, Any]]:
    """The network that :func:`save_separator` wrote, in evaluation mode, and its configuration.

    Raises:
        StemsError: the directory lacks a file, or its weights do not fit its configuration.
    """
    from demucs.htdemucs import HTDemucs
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    directory = Path(directory)
    try:
        config = json.loads((directory / CONFIG).read_text())
        arguments = dict(config["arguments"])
        if isinstance(arguments["segment"], str):
            arguments["segment"] = Fraction(arguments["segment"])
        model = HTDemucs(**arguments)
        model.load_state_dict(load_file(directory / WEIGHTS))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise StemsError(
            f"'{directory}' does not hold a readable separator: {type(error).__name__}: {str(error)[:200]}.",
            "Train one with `stems train separator`, or copy the whole directory again.",
            code="unreadable",
            field="separator",
        ) from error
    return model.eval(), config


def _constructor_arguments(model: HTDemucs) -> dict[str, Any]:
    # demucs keeps the arguments of every model that it builds; fill in the defaults, so that the file
    # still says the same when a later demucs has others.
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
        f"for each of {', '.join(arguments['sources'])}. It hears {arguments['segment']} s at a time.\n\n"
        "`config.json` holds the arguments of `demucs.htdemucs.HTDemucs`, `model.safetensors` its weights.\n"
        "Open it with `models.separation.Separator.load(directory)`.\n"
    )
