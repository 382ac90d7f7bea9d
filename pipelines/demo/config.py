"""Settings of `stems demo`. Light to import: no torch, no ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DemoConfig(BaseModel):
    """Render a band, train everything small, prepare, make and edit a song, write a report.

    The defaults take about ten minutes on two cores. A demo that was stopped goes on where it was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    output: str = "runs/demo"
    """Folder for everything that the demo makes; its report is report.html."""

    seed: int = Field(default=7, ge=0)
    """Seed of the songs and the models."""

    training_songs: int = Field(default=24, ge=4)
    """Multitracks that the separator and the codecs learn from; half of them are sung."""

    training_seconds: float = Field(default=16.0, ge=4)
    """Length of each multitrack, in seconds."""

    catalog_songs: int = Field(default=44, ge=4)
    """Songs of the catalog that is prepared; a quarter of them are sung."""

    catalog_seconds: float = Field(default=20.0, ge=10)
    """Length of each song of the catalog, in seconds."""

    separator_steps: int = Field(default=400, ge=1)
    """Training steps of the separator."""

    codec_steps: int = Field(default=200, ge=1)
    """Training steps of each codec."""

    lm_steps: int = Field(default=300, ge=1)
    """Training steps of the language model."""

    prompt: str = "A tight funk groove with a syncopated bass, crisp drums and electric piano"
    """What the generated song should sound like."""

    seconds: float = Field(default=10.0, gt=0, le=60)
    """Length of the generated song, in seconds."""
