"""`stems assemble`: trained parts become one model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from models.errors import StemsError
from models.lm.language_model import LMConfig
from models.song.assembly_builder import assemble, check_assembly_folder
from pipelines.composing.config import AssembleConfig


@dataclass(frozen=True)
class Assembled:
    """A model on disk."""

    directory: Path
    layout: str
    digest: str
    separates: bool

    def summary(self) -> Table:
        """The same for a terminal."""
        table = Table("model", "stems", "digest", "separator", title="Assembled")
        table.add_row(str(self.directory), self.layout, self.digest, "yes" if self.separates else "no")
        return table


def assemble_model(config: AssembleConfig) -> Assembled:
    """Put a language model, the codecs that it learned and a separator into ``config.output``.

    Raises:
        StemsError: a part is missing, or the codecs are not the ones that the language model learned.
    """
    output = check_assembly_folder(config.output)
    lm, folder = Path(config.lm), Path(config.codecs)
    codecs = {name: folder / name for name in LMConfig.load(lm).layout.names}
    for name, codec in codecs.items():
        if not codec.is_dir():
            raise StemsError(
                f"There is no codec of '{name}' in '{folder}'.",
                "Give a folder with one codec directory for each stem of the language model.",
                code="missing",
                field="codecs",
            )
    separator = Path(config.separator) if config.separator else None
    model = assemble(output, lm, codecs, separator, config.max_seconds)
    return Assembled(Path(config.output), str(model.layout), model.digest, separator is not None)
