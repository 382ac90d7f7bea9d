"""Let a song go on: in all its stems, or in some while the others are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ConfigDict, Field

from models.audio.files import Audio
from models.errors import StemsError
from models.request_bounds import Seconds, StemNames
from models.song.continuation import Continuation
from serving.kinds.kind import Origin
from serving.kinds.source import SONG, SourceKind, SourceRequest
from serving.workers.protocol import ModelInfo


class ContinuationRequest(SourceRequest):
    """The fields of a continuation."""

    model_config = ConfigDict(json_schema_extra={"example": {"seconds": 8, "prompt": "drums drop out", "seed": 7}})

    seconds: Seconds = 10.0
    """Length of the new part."""
    regenerate: StemNames = Field(default=[])
    """Stems that go on, while the others are given up to the new end; without it, all go on."""


class ContinuationKind(SourceKind[ContinuationRequest]):
    """See above."""

    name = "continuation"
    path = "/v1/continuations"
    summary = "Let a song go on"
    description = (
        "Send a whole song as `song`, or one file per stem, or an earlier job, and say for how long it goes on."
        "\n\nThe song itself stays as it is. Where only some stems go on, send the others as long as the result."
    )
    request = ContinuationRequest

    def task(self, request: ContinuationRequest) -> Continuation:
        """For how long, and in which stems."""
        return Continuation(request.seconds, tuple(request.regenerate) or None)

    def check(
        self, request: ContinuationRequest, sounds: Mapping[str, Audio], info: ModelInfo, max_seconds: float
    ) -> None:
        """Also that the result is not too long, and that given stems reach its end."""
        super().check(request, sounds, info, max_seconds)
        seconds = self.seconds(request, sounds)
        if seconds > max_seconds:
            raise StemsError(
                f"The song would last {seconds:g} s.",
                f"A song and its new part may last {max_seconds:g} s together.",
                code="too_long",
                field="seconds",
            )
        going = request.regenerate or info.layout.names
        for name in (name for name in info.layout.names if name not in going):
            length = sounds[SONG if SONG in sounds else name].seconds
            if length <= seconds - 1 / info.frame_rate:
                raise StemsError(
                    f"'{name}' does not go on, and ends after {length:.2f} s.",
                    f"Send stems, with {seconds:.2f} s of '{name}', or let it go on, too.",
                    field="regenerate",
                )

    def seconds(self, request: ContinuationRequest, sounds: Mapping[str, Audio]) -> float:
        """From the end of the longest stem that goes on."""
        going = [audio for name, audio in sounds.items() if name in request.regenerate] or list(sounds.values())
        return max(audio.seconds for audio in going) + request.seconds

    def origin(self, request: ContinuationRequest, stem: str, given: Collection[str]) -> Origin:
        """Stems that do not go on are kept."""
        return "continued" if stem in (request.regenerate or given) else "kept"

    def manifest_fields(self, request: ContinuationRequest, seconds: float) -> dict[str, Any]:
        """Where the new part begins."""
        return {"continued_at": seconds - request.seconds}
