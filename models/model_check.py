"""Whether a model could be loaded, found out before anything is started for it."""

from __future__ import annotations

from pathlib import Path

from models.assembly import check_codecs, load_separator, read_max_seconds
from models.codec.codec import StemCodec
from models.lm.language_model import StemLM


def check_model(directory: Path | str) -> None:
    """Refuse a model directory that :meth:`~models.assembly.Assembly.load` refuses.

    Reads every weight, but holds no more than the codecs, the separator and one tensor of the language model.

    Raises:
        StemsError: what is missing, damaged, not finite or does not fit; it names the file.
    """
    directory = Path(directory)
    read_max_seconds(directory)
    config = StemLM.check(directory / "lm")
    check_codecs(config, {name: StemCodec.load(directory / "codecs" / name) for name in config.layout.names})
    load_separator(directory)
