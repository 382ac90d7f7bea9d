"""Give a stem another texture: the same notes, another sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import ConfigDict, Field

from models.song.edit import Edit
from serving.kinds.edit import RegionKind, RegionRequest


class VariationRequest(RegionRequest):
    """The fields of a variation."""

    model_config = ConfigDict(json_schema_extra={"example": {"stem": "other", "prompt": "bright strings", "seed": 7}})

    stem: str = Field(max_length=100)
    """The stem that keeps its notes and gets another texture."""


class VariationKind(RegionKind[VariationRequest]):
    """See above."""

    name = "variation"
    path = "/v1/variations"
    summary = "Give a stem another texture"
    description = "Keep the notes of a stem (its first codebook), and play them with another sound."
    request = VariationRequest
    renamed: ClassVar[Mapping[str, str]] = {"texture": "stem"}

    def task(self, request: VariationRequest) -> Edit:
        """Another texture of one stem."""
        return Edit(texture=(request.stem,), region=request.region)
