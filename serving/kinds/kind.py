"""The contract of a request kind, for the service, its client and its OpenAPI document."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from models.audio.files import Audio, AudioFormat
from models.request_bounds import Prompt, SamplingFields
from serving.workers.protocol import ModelInfo, Task

Origin = Literal["generated", "kept", "varied", "spliced", "continued", "silent"]
"""Where a stem of a result comes from."""


class CommonFields(SamplingFields):
    """How tokens are drawn, how the audio is written, and where the end is reported: common to all requests."""

    format: AudioFormat | None = None
    """Format of the audio files; without it that of `Accept`, else WAV."""
    webhook: str | None = Field(default=None, max_length=2000)
    """Address to call once, at the end of the job."""


class MusicRequest(CommonFields):
    """A request of any kind."""

    prompt: Prompt = ""
    """What the result should sound like."""


R = TypeVar("R", bound=MusicRequest)


class Kind(ABC, Generic[R]):
    """One kind of request. To add one, derive from this class or :class:`~serving.kinds.source.SourceKind`, and list
    it in :data:`~serving.kinds.registry.KINDS`.
    """

    name: ClassVar[str]
    """Name of the kind in jobs and manifests."""
    path: ClassVar[str]
    """The route that takes it."""
    summary: ClassVar[str]
    """One line for the documents."""
    description: ClassVar[str]
    """What a client should know, in one or two sentences."""
    request: type[R]
    """The fields, with an example for the documents."""

    @abstractmethod
    def task(self, request: R) -> Task:
        """The worker's task."""

    @abstractmethod
    def check(self, request: R, sounds: Mapping[str, Audio], info: ModelInfo, max_seconds: float) -> None:
        """Check a request against the model, before it uses the model.

        Args:
            request: the fields.
            sounds: decoded uploads by name.
            info: the model.
            max_seconds: the longest song that may be made.

        Raises:
            StemsError: names the field at fault.
        """

    @abstractmethod
    def seconds(self, request: R, sounds: Mapping[str, Audio]) -> float:
        """Length of the result."""

    @abstractmethod
    def given(self, request: R, sources: Collection[str], info: ModelInfo) -> list[str]:
        """The stems that a worker needs, in the model's order, where uploads have these names."""

    @abstractmethod
    def origin(self, request: R, stem: str, given: Collection[str]) -> Origin:
        """Where a stem of the result comes from."""

    def manifest_fields(self, request: R, seconds: float) -> dict[str, Any]:
        """The kind's own manifest fields, for a result of this length in seconds."""
        return {}
