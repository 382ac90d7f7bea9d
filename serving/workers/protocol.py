"""What a request asks of the model, checked against the model before any of its time is taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.audio.files import Audio
from models.errors import StemsError
from models.request_bounds import SamplingFields, check_length
from models.song.edit import Edit
from models.stems import StemLayout
from serving.schemas import AnyRequest, EditRequest, Origin, SongRequest, VariationRequest
from serving.timings import Seconds


@dataclass(frozen=True)
class Load:
    """How busy a replica of the generator is.

    Args:
        replica: its name, unique among replicas.
        slots: songs that it can write at once.
        running: songs that it writes.
        waiting: songs that wait for a slot.
        step: seconds of its last steps, smoothed.
        roofline: seconds that the memory's bandwidth allows for such a step at best.
        steps: number of steps since it started.
    """

    replica: str
    slots: int
    running: int
    waiting: int
    step: float
    roofline: float
    steps: int


@dataclass(frozen=True)
class Chunk:
    """The part of a song that is new since the last chunk.

    Args:
        frames: frames written so far.
        total_frames: frames of the whole song.
        codes: the new frames, int16 ``[streams, frames]``.
        sound: new mono samples of each stem, equally many; or empty.
        rate: sample rate, in Hz.
        load: how busy the replica is.
        timings: where the time of the song has gone in the replica, up to now.
    """

    frames: int
    total_frames: int
    codes: np.ndarray
    sound: dict[str, np.ndarray]
    rate: int
    load: Load
    timings: Seconds = field(default_factory=dict)


SONG = "song"
"""Name of the upload that is a whole song, to be separated."""


@dataclass(frozen=True)
class ModelInfo:
    """What the service must know of the model to check a request."""

    digest: str
    layout: StemLayout
    sample_rate: int
    frame_rate: float
    max_seconds: float
    separates: bool
    precision: str


@dataclass(frozen=True)
class GenerationOrder:
    """A song to write, or to change.

    Args:
        prompt: what it shall sound like.
        sampling: how tokens are drawn, with a seed.
        seconds: length of a song from text.
        edit: what to do with the stems that are given; None for a song from text.
        stems: the files of stems that are given.
        trace: the W3C trace context that it belongs to.
    """

    prompt: str
    sampling: SamplingFields
    seconds: float = 0.0
    edit: Edit | None = None
    stems: dict[str, bytes] = field(default_factory=dict)
    trace: str = ""


def sampling_of(request: AnyRequest) -> SamplingFields:
    """How the model is to draw."""
    return SamplingFields(**request.model_dump(include=set(SamplingFields.model_fields)))


def edit_of(request: AnyRequest) -> Edit | None:
    """What is to be done with the stems that are there; None for a song from text."""
    if isinstance(request, EditRequest):
        exact = request.keep == "exact"
        return Edit(request.regenerate, request.texture, request.silent, request.region, exact)
    if isinstance(request, VariationRequest):
        return Edit(texture=(request.stem,), region=request.region)
    return None


def check_song(request: SongRequest, max_seconds: float) -> None:
    """Check a song request; StemsError names the field at fault."""
    if request.seconds > max_seconds:
        raise StemsError(
            f"{request.seconds:g} s are asked for.",
            f"Ask for at most {max_seconds:g}.",
            code="too_long",
            field="seconds",
        )


def check_edit(request: EditRequest | VariationRequest, sounds: Mapping[str, Audio], info: ModelInfo) -> None:
    """Check fields against decoded uploads (``song``, or stems by name); StemsError names the field at fault."""
    edit = edit_of(request)
    assert edit is not None
    try:
        edit.check(info.layout, given_stems(sounds, edit, info.layout))
    except StemsError as error:
        if isinstance(request, VariationRequest) and error.field == "texture":
            raise StemsError(error.message, error.hint, code=error.code, field="stem") from None
        raise
    for name, audio in sounds.items():
        check_length(audio.seconds, name, name)
    seconds = max(audio.seconds for audio in sounds.values())
    edit.frames(max(1, round(seconds * info.frame_rate)), info.frame_rate)


def given_stems(sources: Mapping[str, object], edit: Edit, layout: StemLayout) -> list[str]:
    """Which stems are there, of uploads by name."""
    if SONG in sources:
        return [name for name in layout.names if name not in edit.silent]
    return [name for name in layout.names if name in sources]


def origins(edit: Edit | None, given: list[str], layout: StemLayout) -> dict[str, Origin]:
    """Where each stem of a result comes from."""
    if edit is None:
        return dict.fromkeys(layout.names, "generated")
    return {name: _origin(name, edit, given) for name in layout.names}


def _origin(name: str, edit: Edit, given: list[str]) -> Origin:
    if name in edit.silent:
        return "silent"
    if name in edit.texture:
        return "varied"
    if name not in given:
        return "generated"
    if name in edit.regenerate:
        return "generated" if edit.region is None else "spliced"
    return "kept" if edit.exact else "varied"
