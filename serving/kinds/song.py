"""A song from text."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import ConfigDict

from models.audio.files import Audio
from models.errors import StemsError
from models.request_bounds import Prompt, Seconds
from models.song.edit import FromText
from serving.kinds.kind import Kind, MusicRequest, Origin
from serving.workers.protocol import ModelInfo


class SongRequest(MusicRequest):
    """A song to make from text."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"prompt": "calm electric piano over a slow beat", "seconds": 4, "seed": 7}}
    )

    prompt: Prompt = ""
    """What to play; empty for anything."""
    seconds: Seconds = 10.0
    """Length of the song; GET /v1/model tells the longest."""


class SongKind(Kind[SongRequest]):
    """See above. It is the one kind that comes as JSON, without files."""

    name = "song"
    path = "/v1/songs"
    summary = "Make a song from text"
    description = "Make a song from a prompt."
    request = SongRequest

    def task(self, request: SongRequest) -> FromText:
        """A song of so many seconds."""
        return FromText(request.seconds)

    def check(self, request: SongRequest, sounds: Mapping[str, Audio], info: ModelInfo, max_seconds: float) -> None:
        """Refuse a song that is too long."""
        if request.seconds > max_seconds:
            raise StemsError(
                f"{request.seconds:g} s are asked for.",
                f"Ask for at most {max_seconds:g}.",
                code="too_long",
                field="seconds",
            )

    def seconds(self, request: SongRequest, sounds: Mapping[str, Audio]) -> float:
        """The requested length."""
        return request.seconds

    def given(self, request: SongRequest, sources: Collection[str], info: ModelInfo) -> list[str]:
        """No stems are given."""
        return []

    def origin(self, request: SongRequest, stem: str, given: Collection[str]) -> Origin:
        """All stems are generated."""
        return "generated"
