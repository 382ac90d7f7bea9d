"""Change stems of a song, or add missing ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field

from models.audio.files import Audio
from models.request_bounds import Region, StemNames
from models.song.edit import Edit
from models.stems import StemLayout
from serving.kinds.kind import Origin
from serving.kinds.source import SourceKind, SourceRequest
from serving.workers.protocol import ModelInfo


class RegionRequest(SourceRequest):
    """The fields that edits and variations have in common."""

    region: Region | None = None
    """Which part to change, in seconds; without it, all of the song."""


class EditRequest(RegionRequest):
    """The fields of an edit."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"regenerate": ["bass"], "prompt": "a walking bass", "keep": "exact", "seed": 7}
        }
    )

    regenerate: StemNames = Field(default=[])
    """Stems to regenerate. Stems that are neither sent nor silent are generated too."""
    texture: StemNames = Field(default=[])
    """Stems that keep their notes and get another sound."""
    silent: StemNames = Field(default=[])
    """Stems that stay silent. A stem that is merely not sent is generated, not silent."""
    keep: Literal["exact", "free"] = "exact"
    """``exact``: the other stems stay as they are. ``free``: they may vary around what was sent."""


E = TypeVar("E", bound=RegionRequest)


class RegionKind(SourceKind[E]):
    """Shared by edits and variations: both are an :class:`~models.song.edit.Edit`."""

    def task(self, request: E) -> Edit:
        """What to do with the stems."""
        raise NotImplementedError

    def check(self, request: E, sounds: Mapping[str, Audio], info: ModelInfo, max_seconds: float) -> None:
        """Also that the region is in the song."""
        super().check(request, sounds, info, max_seconds)
        frames = max(1, round(self.seconds(request, sounds) * info.frame_rate))
        self.task(request).frames(frames, info.frame_rate)

    def origin(self, request: E, stem: str, given: Collection[str]) -> Origin:
        """Depends on what the edit does with the stem."""
        edit = self.task(request)
        if stem in edit.silent:
            return "silent"
        if stem in edit.texture:
            return "varied"
        if stem not in given:
            return "generated"
        if stem in edit.regenerate:
            return "generated" if edit.region is None else "spliced"
        return "kept" if edit.exact else "varied"

    def manifest_fields(self, request: E, seconds: float) -> dict[str, Any]:
        """The region."""
        return {"region": request.region}


class EditKind(RegionKind[EditRequest]):
    """See above."""

    name = "edit"
    path = "/v1/edits"
    summary = "Change stems of a song, or add missing ones"
    description = (
        "Send a whole song as `song`, or one file per stem, or an earlier job, and say which stems to regenerate.\n\n"
        "Stems that are neither sent nor declared silent are generated."
    )
    request = EditRequest

    def task(self, request: EditRequest) -> Edit:
        """What to do with the stems."""
        exact = request.keep == "exact"
        return Edit(request.regenerate, request.texture, request.silent, request.region, exact)

    def uses(self, request: EditRequest, layout: StemLayout) -> list[str]:
        """All stems but the silent ones."""
        return [name for name in layout.names if name not in request.silent]

    def manifest_fields(self, request: EditRequest, seconds: float) -> dict[str, Any]:
        """The region, and how the other stems were kept."""
        return {"region": request.region, "keep": request.keep}
