"""Settings of `stems generate`, `stems edit` and `stems assemble`. Light to import: no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.request_bounds import Prompt, Region, SamplingFields, Seconds, StemNames

Precision = Literal["float32", "bfloat16", "int8"]


class DecodingConfig(SamplingFields):
    """The model that decodes, and how."""

    model: str
    """Directory of the model, such as runs/demo/model."""

    device: str = "auto"
    """Where to compute: cpu, cuda, cuda:N or mps. auto takes an NVIDIA GPU if PyTorch sees one, else the CPU."""

    precision: Precision | None = None
    """Number format in which the language model decodes; by default the fastest that is sound on the device. The
    same seed gives other music in another one."""


class GenerateConfig(DecodingConfig):
    """Generate a song from text."""

    prompt: Prompt = ""
    """What it should sound like; empty for anything."""

    seconds: Seconds = 10.0
    """Length of the song, in seconds."""

    output: str = "runs/song"
    """Folder for stems, mix and manifest."""


class EditConfig(DecodingConfig):
    """Regenerate some stems of a song, or add the ones it lacks, so that they fit the rest."""

    model: str
    """Directory of the model, such as runs/demo/model."""

    song: str
    """A mixed song, which is separated first; or a folder with one audio file per stem, named for it."""

    regenerate: StemNames = Field(default=[])
    """Stems to regenerate, as in --regenerate bass drums. In a folder, stems without a file are generated too."""

    texture: StemNames = Field(default=[])
    """Stems that keep their notes (the first codebook) and get another sound."""

    region: Region | None = None
    """Change only the time from START to END, as in --region 4 6; before and after, stems stay as they are."""

    silent: StemNames = Field(default=[])
    """Stems that stay silent."""

    keep: Literal["exact", "free"] = "exact"
    """exact: the other stems stay as they are; free: they vary too."""

    prompt: Prompt = ""
    """What the result should sound like; empty to go by the music alone."""

    rest: bool = True
    """Keep in the mix what a mixed song holds beside the stems, such as vocals, and write it as rest.wav."""

    source_quality: bool = False
    """Write stems at the rate and in the channels of the song, as 32-bit floats: what is kept stays to the bit.
    Otherwise they are mono, at the model's rate."""

    output: str = "runs/edit"
    """Folder for stems, mix and manifest."""

    @model_validator(mode="before")
    @classmethod
    def _keep_of_exact(cls, values: Any) -> Any:
        """``exact: false``, the notation of version 0.1, means ``keep: free``."""
        if not isinstance(values, dict) or not isinstance(values.get("exact"), bool):
            return values
        rest = {name: value for name, value in values.items() if name != "exact"}
        return {"keep": "exact" if values["exact"] else "free", **rest}


class ExtendConfig(DecodingConfig):
    """Let a song go on: what it is stays, and a new part follows."""

    model: str
    """Directory of the model, such as runs/demo/model."""

    song: str
    """A mixed song, which is separated first; or a folder with one audio file per stem, named for it."""

    seconds: Seconds = 10.0
    """Length of the new part."""

    regenerate: StemNames = Field(default=[])
    """Stems that go on, as in --regenerate bass drums, while the files of the others last up to the new end; by
    default all."""

    prompt: Prompt = ""
    """What the new part should sound like; empty to go by the music alone."""

    rest: bool = True
    """Keep in the mix what a mixed song holds beside the stems, such as vocals, and write it as rest.wav."""

    source_quality: bool = False
    """Write stems at the rate and in the channels of the song, as 32-bit floats: what is kept stays to the bit.
    Otherwise they are mono, at the model's rate."""

    output: str = "runs/extended"
    """Folder for stems, mix and manifest."""


class AssembleConfig(BaseModel):
    """Put trained parts into one directory, which generate, edit, serve and publish take."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    lm: str
    """Directory of the language model, such as runs/lm/model."""

    codecs: str
    """Directory with one codec per stem: the codecs that the language model learned."""

    output: str
    """Directory of the model; a model that is there is replaced."""

    separator: str = ""
    """Directory of a separator, for edits of mixed songs; without one, edits take stems only."""

    max_seconds: float = Field(default=600.0, gt=0)
    """Longest song that may be requested of the model, in seconds."""


class EnginePlanConfig(BaseModel):
    """Plan a decoding engine: the memory that it needs, and how fast memory lets it be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = ""
    """Directory of a model. Without one, the engine of a preset with the paper's stems is planned."""

    preset: str = "medium"
    """Size of the language model: tiny, small, medium or large."""

    slots: int = Field(default=1, ge=1)
    """Guided requests to decode at once."""

    precision: Precision | None = None
    """Number format in which the language model decodes; by default the fastest that is sound on the device."""

    device: str = "auto"
    """Where to compute: cpu, cuda, cuda:N or mps. auto takes an NVIDIA GPU if PyTorch sees one, else the CPU."""
