"""`stems import`: released models, by hub name or directory, to this project's model directories."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from fnmatch import filter as fnfilter
from fnmatch import fnmatch
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.errors import StemsError, first_line
from models.files.licence import put_licence
from models.files.output_folder import check_folder, replacing

LICENCE = (
    "Weights released as MusicGen-Stem, MusicGen or EnCodec are licensed CC-BY-NC 4.0: not for commercial use. "
    "The licence of the weights applies to this directory and to models trained from it."
)


class ImportConfig(BaseModel):
    """Convert a released model to this project's format."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """Hub name or directory: facebook/musicgen-stem-6cb or -7cb, facebook/musicgen-*, facebook/encodec_32khz."""

    output: str
    """Directory to write: a whole model, or a codec if the source is a codec."""


def import_model(config: ImportConfig) -> Path:
    """Load, convert and write a model, and print its licence; the directory appears complete or not at all.

    Raises:
        StemsError: the source is missing or in an unknown format, or the output exists.
    """
    output = check_folder(config.output)
    if output.is_dir() and any(output.iterdir()):
        raise StemsError(f"'{output}' exists already.", "Name another directory, or delete it.", field="output")
    source = _locate(config.source)
    weights = sum(file.stat().st_size for file in source.iterdir() if file.is_file())
    with replacing(output, weights) as partial:
        _convert(source, partial)
        for part in (partial, partial / "lm", *sorted(partial.glob("codecs/*"))):
            if part.is_dir():
                put_licence(part, f"Imported from `{config.source}`. {LICENCE}")
    print(f"{output} holds {config.source}. {LICENCE}")
    return output


def _convert(source: Path, output: Path) -> None:
    from models.files.model_files import foreign

    with foreign(source, "source", "Give the directory of a whole released model."):
        _write_as_ours(source, _model_type(source), output)


def _write_as_ours(source: Path, kind: str, output: Path) -> None:
    from models.interchange.audiocraft_release import CODEC_FILES, load_release
    from models.interchange.musicgen import load_musicgen

    # MusicGens on the hub hold the authors' files beside transformers', but no stem codecs.
    if any(source.glob(CODEC_FILES)):
        load_release(source).save(output)
    elif kind == "musicgen":
        load_musicgen(source).save(output)
    elif kind == "encodec":
        from models.codec.codec import StemCodec

        StemCodec.load(source).save(output)
    else:
        raise StemsError(
            f"'{source}' has an unknown format (model type '{kind or 'none'}').",
            f"Give a directory with {CODEC_FILES}, or a MusicGen or EnCodec as transformers saves them.",
            field="source",
        )


def _locate(source: str) -> Path:
    """A local directory unchanged, or a snapshot from the hub."""
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import HfApi, snapshot_download

    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it raises its errors, too

    try:
        try:
            files = HfApi().list_repo_files(source)
        except Exception:  # no connection; the errors differ by library
            return Path(snapshot_download(source, local_files_only=True))  # from the cache
        return Path(snapshot_download(source, allow_patterns=wanted_files(files)))
    except Exception as error:  # any error of the network, the cache or the hub
        raise StemsError(
            f"'{source}' is not a directory, and the hub has no such model: {first_line(error)}.",
            "Check the name and the connection, or download the model and give its directory.",
            code="missing",
            field="source",
        ) from error


def wanted_files(files: Sequence[str]) -> list[str]:
    """The hub files that an import reads: the hub holds some weights several times."""
    from models.interchange.audiocraft_release import CODEC_FILES, LM_FILE

    settings = [name for name in files if name.endswith((".json", ".model", ".txt"))]
    if any(fnmatch(name, CODEC_FILES) for name in files):
        return [*settings, LM_FILE, *fnfilter(files, CODEC_FILES)]
    return settings + (fnfilter(files, "*.safetensors") or fnfilter(files, "pytorch_model*.bin"))


def _model_type(directory: Path) -> str:
    try:
        return str(json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, json.JSONDecodeError):
        return ""
