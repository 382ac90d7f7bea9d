"""Shared by all kinds of requests that start from audio: a song, stems, or an earlier job."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar, TypeVar, get_origin

from pydantic import Field

from models.audio.files import Audio
from models.errors import StemsError
from models.request_bounds import Prompt, check_length
from models.stems import StemLayout
from serving.kinds.kind import Kind, MusicRequest
from serving.workers.protocol import ModelInfo, SoundTask

SONG = "song"
"""Name of the upload that is a whole song, to be separated."""


class SourceRequest(MusicRequest):
    """The fields beside the audio files."""

    of: str | None = Field(default=None, max_length=64)
    """The id of an earlier job whose stems are to be used, in place of files."""
    prompt: Prompt = ""
    """What the new sound should be like; empty for whatever fits the rest."""

    @classmethod
    def lists(cls) -> frozenset[str]:
        """The fields that may be repeated in a form."""
        return frozenset(name for name, field in cls.model_fields.items() if get_origin(field.annotation) is list)


S = TypeVar("S", bound=SourceRequest)


class SourceKind(Kind[S]):
    """A kind that comes as a form: text fields, and a file named ``song`` or one per stem."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Fields of the task that have another name in the request, for errors that name them."""

    @abstractmethod
    def task(self, request: S) -> SoundTask:
        """What a worker has to do with the stems."""

    def uses(self, request: S, layout: StemLayout) -> list[str]:
        """The stems used from a whole song or an earlier job."""
        return list(layout.names)

    def given(self, request: S, sources: Collection[str], info: ModelInfo) -> list[str]:
        """The uploaded stems, or the stems of the separated song."""
        if SONG in sources:
            return self.uses(request, info.layout)
        return [name for name in info.layout.names if name in sources]

    def seconds(self, request: S, sounds: Mapping[str, Audio]) -> float:
        """The length of the longest source."""
        return max(audio.seconds for audio in sounds.values())

    def check(self, request: S, sounds: Mapping[str, Audio], info: ModelInfo, max_seconds: float) -> None:
        """Check fields against uploads: a whole song, or stems by name."""
        task = self.task(request)
        try:
            task.check(info.layout, self.given(request, sounds, info))
        except StemsError as error:
            field = self.renamed.get(error.field, error.field)
            raise StemsError(error.message, error.hint, code=error.code, field=field) from None
        for name, audio in sounds.items():
            check_length(audio.seconds, name, name)
