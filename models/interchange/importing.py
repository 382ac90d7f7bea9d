"""`stems import`: released models, by hub name or directory, to directories of ours."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.errors import StemsError

LICENCE = (
    "Weights released as MusicGen-Stem, MusicGen or EnCodec are licensed CC-BY-NC 4.0: not for commercial use. "
    "The licence of the weights holds for this directory and for models trained from it."
)


class ImportConfig(BaseModel):
    """Bring a released model into this project's format."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """Hub name or directory: facebook/musicgen-stem-6cb or -7cb, facebook/musicgen-*, facebook/encodec_32khz."""

    output: str
    """Directory to write: a whole model, or a codec where the source is one."""


def import_model(config: ImportConfig) -> Path:
    """Load, convert, write, and say the licence; the directory appears whole or not at all.

    Raises:
        StemsError: the source is nowhere, or of no known format, or the output exists.
    """
    output = Path(config.output)
    if output.exists():
        raise StemsError(f"'{output}' exists already.", "Name another directory, or delete it.", field="output")
    source = _locate(config.source)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        _convert(source, partial)
        with (partial / "README.md").open("a") as readme:
            readme.write(f"\nImported from `{config.source}`.\n\n{LICENCE}\n")
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{output} holds {config.source}. {LICENCE}")
    return output


def _convert(source: Path, output: Path) -> None:
    from models.interchange.musicgen import load_musicgen
    from models.interchange.released import LM_FILE, load_release

    kind = _model_type(source)
    if (source / LM_FILE).is_file():
        load_release(source).save(output)
    elif kind == "musicgen":
        load_musicgen(source).save(output)
    elif kind == "encodec":
        from models.codec.codec import StemCodec

        StemCodec.load(source).save(output)
    else:
        raise StemsError(
            f"'{source}' is of no format that is known here (model type '{kind or 'none'}').",
            f"Give a directory with {LM_FILE}, or a MusicGen or EnCodec as transformers saves them.",
            field="source",
        )


def _locate(source: str) -> Path:
    """A local directory as it is, or a snapshot of the hub's."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise StemsError(
            f"'{source}' is no directory, and the hub gives no such model ({type(error).__name__}).",
            "Check the name and the connection, or download it and give its directory.",
            code="missing",
            field="source",
        ) from error


def _model_type(directory: Path) -> str:
    try:
        return str(json.loads((directory / "config.json").read_text()).get("model_type", ""))
    except (OSError, json.JSONDecodeError):
        return ""
