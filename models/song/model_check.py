"""Check that a model can be loaded, before anything is started for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from models.codec.codec import StemCodec
from models.lm.language_model import LMConfig, StemLM
from models.separation import Separator
from models.song.model_directory import check_codecs, read_max_seconds


def check_model(directory: Path | str) -> None:
    """Refuse every model directory that :meth:`~models.song.assembly.Assembly.load` refuses.

    Reads every weight, but holds no more than the codecs, the separator and one tensor of the language model.

    Raises:
        StemsError: a part is missing, damaged, not finite, or does not fit; the error names the file.
    """
    directory = Path(directory)
    read_max_seconds(directory)
    names = LMConfig.load(directory / "lm").layout.names
    separator = directory / "separator"
    check_parts(
        directory / "lm",
        {name: directory / "codecs" / name for name in names},
        separator if separator.is_dir() else None,
    )


def check_parts(lm: Path, codecs: Mapping[str, Path], separator: Path | None) -> None:
    """The same check for parts in different directories."""
    config = StemLM.check(lm)
    check_codecs(config, {name: StemCodec.load(folder) for name, folder in codecs.items()})
    if separator is not None:
        Separator.load(separator)
