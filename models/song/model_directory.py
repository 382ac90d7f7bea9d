"""The directory of a whole model: the file that makes it one, its separator, and whether its parts fit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from models.codec.codec import StemCodec
from models.errors import StemsError
from models.files.model_files import read_settings, unreadable
from models.lm.language_model import MAX_SECONDS, LMConfig
from models.separation import Separator

ABOUT = "assembly.json"
_FORMAT = 1


def load_separator(directory: Path, device: str = "cpu") -> Separator | None:
    """The separator of a model directory, where there is one."""
    folder = directory / "separator"
    return Separator.load(folder, device) if folder.is_dir() else None


def write_about(directory: Path, max_seconds: float) -> None:
    """Write the file that makes a directory a model."""
    about = {"format": _FORMAT, "max_seconds": max_seconds}
    (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_max_seconds(directory: Path) -> float:
    """The longest song of a model, from the file that makes a directory one."""
    file = directory / ABOUT
    if not file.exists() and not file.is_symlink():
        raise StemsError(
            f"'{directory}' is not a model: it has no assembly.json.",
            "Give a model directory, such as runs/demo/model after `stems demo`.",
            code="missing",
            field="model",
        )
    about = read_settings(file, "model")
    if about.get("format", _FORMAT) != _FORMAT:
        raise unreadable(file, f"its format is {about['format']!r}, not {_FORMAT}", "model", "Update this program.")
    seconds = about.get("max_seconds", MAX_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise unreadable(file, f"max_seconds is {seconds!r}", "model", "Write a number of seconds above 0.")
    return float(seconds)


def check_codecs(config: LMConfig, codecs: Mapping[str, StemCodec]) -> None:
    """Refuse codecs that are not those of a language model; StemsError says which is to be used."""
    for stem in config.layout.stems:
        codec = codecs.get(stem.name)
        if codec is None or codec.codebooks != stem.codebooks or codec.cardinality != config.cardinality:
            found = "none" if codec is None else f"{codec.codebooks} codebooks of {codec.cardinality} codes"
            raise StemsError(
                f"The codec of '{stem.name}' does not fit the language model: {found}.",
                f"It needs {stem.codebooks} codebooks of {config.cardinality} codes.",
                field="codecs",
            )
        trained = config.codecs.get(stem.name)
        if trained and trained != codec.digest:
            raise StemsError(
                f"The codec of '{stem.name}' ({codec.digest}) is not the one the language model learned ({trained}).",
                "Use that codec, or train the language model on a table made with this one.",
                field="codecs",
            )
