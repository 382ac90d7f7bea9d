"""Whether a model directory can be loaded, found without loading its largest part."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from models.assembly import check_codecs, load_separator, read_about
from models.codec.codec import StemCodec
from models.errors import StemsError
from models.lm.language_model import LMConfig, StemLM


def check_model(directory: Path | str) -> None:
    """Read a model as :meth:`~models.assembly.Assembly.load` does, but of the language model no more than a tensor.

    Raises:
        StemsError: a part is missing, damaged, or does not fit the others.
    """
    directory = Path(directory)
    read_about(directory)
    lm = _empty(directory / "lm")
    _check_weights(lm, directory / "lm" / "model.safetensors")
    check_codecs(lm, {name: StemCodec.load(directory / "codecs" / name) for name in lm.layout.names})
    load_separator(directory)


def _empty(directory: Path) -> StemLM:
    """The language model of a configuration, with shapes and no weights."""
    config = LMConfig.load(directory)
    try:
        with torch.device("meta"):
            return StemLM(config)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise _unreadable(directory / "config.json", str(error)) from error


def _check_weights(lm: StemLM, file: Path) -> None:
    """Each tensor is there, as large as the model wants it, and finite."""
    wanted = {name: list(tensor.shape) for name, tensor in lm.state_dict().items()}
    try:
        with safe_open(file, framework="pt") as weights:
            found = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
            if wanted != found:
                odd = next(name for name in sorted(wanted | found) if wanted.get(name) != found.get(name))
                raise _unreadable(
                    file, f"'{odd}' has the shape {found.get(odd)}, and config.json wants {wanted.get(odd)}"
                )
            for name in found:
                if not torch.isfinite(weights.get_tensor(name)).all():
                    raise _unreadable(file, f"'{name}' holds numbers that are not finite")
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, str(error)) from error


def _unreadable(file: Path, reason: str) -> StemsError:
    return StemsError(
        f"{file} cannot be loaded: {' '.join(reason.split())[:200].rstrip('.')}.",
        "Export the model again, or copy its whole directory again.",
        code="unreadable",
        field="model",
    )
