"""Settings of `stems generate`, `stems edit` and `stems assemble`. Light to import: no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.request_bounds import Prompt, SamplingFields, Seconds

Precision = Literal["float32", "bfloat16", "int8"]


class DecodingConfig(SamplingFields):
    """Which model decodes, and how."""

    model: str
    """Directory of the model, such as runs/demo/model."""

    device: str = "cpu"
    """Where it runs, such as cuda."""

    precision: Precision | None = None
    """In which the language model decodes; chosen if not given. The same seed gives other music in another one."""


class GenerateConfig(DecodingConfig):
    """Write a song from text."""

    prompt: Prompt = ""
    """What it should sound like; empty for anything."""

    seconds: Seconds = 10.0
    """Length of the song."""

    output: str = "runs/song"
    """Folder for stems, mix and manifest."""


class EditConfig(DecodingConfig):
    """Write some stems of a song anew, or the ones it lacks, so that they fit the rest."""

    song: str
    """A mixed song, which is separated first; or a folder with one audio file a stem, named for it."""

    regenerate: list[str] = Field(default=[])
    """Stems to write anew, as in --regenerate '[bass]'. In a folder, stems without a file are written too."""

    texture: list[str] = Field(default=[])
    """Stems that keep their first codebook: the same notes, another sound."""

    region: tuple[float, float] | None = None
    """Write only from one second to another, as in --region '[8, 12]'; before and after, stems stay as they are."""

    silent: list[str] = Field(default=[])
    """Stems that stay silent."""

    prompt: Prompt = ""
    """What the result should sound like; empty to go by the music alone."""

    exact: bool = True
    """Keep the other stems as they are; false rewrites them too, as a variation."""

    output: str = "runs/edit"
    """Folder for stems, mix and manifest."""


class AssembleConfig(BaseModel):
    """Put trained parts into one directory, which generate, edit, serve and publish take."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    output: str
    """Directory of the model; one that is there is replaced."""

    lm: str
    """Directory of the language model, such as runs/lm/model."""

    codecs: str
    """Directory with one codec a stem: the ones that the language model learned."""

    separator: str = ""
    """Directory of a separator, for edits of mixed songs; without one, edits take stems only."""

    max_seconds: float = Field(default=600.0, gt=0)
    """Longest song that the model may be asked for."""


class EnginePlanConfig(BaseModel):
    """Plan a decoding engine: the memory that it needs, and how fast the memory lets it be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = ""
    """Directory of a model. Without one, the engine of a preset with the paper's stems is planned."""

    preset: str = "medium"
    """Size of the language model: tiny, small, medium or large."""

    slots: int = Field(default=1, ge=1)
    """Guided requests at once."""

    precision: Precision | None = None
    """Precision of the weights; the fastest sound one if not given."""

    device: str = "cpu"
    """Where it would run, such as cuda."""
