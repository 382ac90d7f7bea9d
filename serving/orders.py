"""What a request asks of the model, checked against the model before any of its time is taken."""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass

from models.audio import Audio
from models.errors import StemsError
from models.lm.sampling import Sampling
from models.stems import StemLayout
from serving.schemas import MIN_SECONDS, EditRequest, Origin, SongRequest


@dataclass(frozen=True)
class ModelFacts:
    """What the service must know of the model to check a request."""

    digest: str
    layout: StemLayout
    sample_rate: int
    frame_rate: float
    max_seconds: float
    separates: bool


@dataclass(frozen=True)
class SongOrder:
    """A song to make from text."""

    prompt: str
    seconds: float
    sampling: Sampling


@dataclass(frozen=True)
class EditOrder:
    """A song to change: either the whole song, to be separated first, or some of its stems."""

    song: Audio | None
    stems: dict[str, Audio]
    regenerate: tuple[str, ...]
    silent: tuple[str, ...]
    prompt: str
    exact: bool
    sampling: Sampling


def order_song(request: SongRequest, max_seconds: float) -> SongOrder:
    """Check a song request; StemsError names the field at fault."""
    if request.seconds > max_seconds:
        raise StemsError(
            f"{request.seconds:g} s are asked for.",
            f"Ask for at most {max_seconds:g}.",
            code="too_long",
            field="seconds",
        )
    return SongOrder(request.prompt, request.seconds, request.sampling())


def order_edit(request: EditRequest, uploads: dict[str, Audio], facts: ModelFacts) -> EditOrder:
    """Check an edit's fields against its decoded uploads (``song``, or stems by name)."""
    names = facts.layout.names
    facts.layout.check_names(request.regenerate, "regenerate")
    facts.layout.check_names(request.silent, "silent")
    song = uploads.get("song")
    stems = {name: audio for name, audio in uploads.items() if name in names}
    _check_overlap(request.silent, request.regenerate, "A stem cannot be both silent and regenerated")
    _check_overlap(request.silent, stems, "A stem cannot be both sent and silent")
    _check_work(request, set(names) if song is not None else set(stems), names)
    for field, audio in uploads.items():
        if audio.seconds < MIN_SECONDS:
            raise StemsError(
                f"'{field}' lasts {audio.seconds:.2f} s.",
                f"Send at least {MIN_SECONDS:g}.",
                code="too_short",
                field=field,
            )
    return EditOrder(
        song,
        stems,
        tuple(request.regenerate),
        tuple(request.silent),
        request.prompt,
        request.keep == "exact",
        request.sampling(),
    )


def song_origins(layout: StemLayout) -> dict[str, Origin]:
    """Where each stem of a song from text comes from."""
    return dict.fromkeys(layout.names, "generated")


def edit_origins(order: EditOrder, layout: StemLayout) -> dict[str, Origin]:
    """Where each stem of an edited song comes from."""
    origins: dict[str, Origin] = {}
    for name in layout.names:
        if name in order.silent:
            origins[name] = "silent"
        elif name in order.regenerate or (order.song is None and name not in order.stems):
            origins[name] = "generated"
        else:
            origins[name] = "kept" if order.exact else "varied"
    return origins


def _check_work(request: EditRequest, given: Set[str], names: Sequence[str]) -> None:
    """Something must be left to play, and something to play along with."""
    kept = given - set(request.regenerate) - set(request.silent)
    if not kept:
        raise StemsError(
            "No stem is kept that the new ones could fit.",
            "Keep at least one, or make a song from text.",
            field="regenerate",
        )
    if not request.regenerate and not set(names) - given - set(request.silent):
        raise StemsError(
            "There is nothing to regenerate: every stem is given.",
            f"Name at least one of {', '.join(names)}.",
            field="regenerate",
        )


def _check_overlap(some: Collection[str], others: Collection[str], complaint: str) -> None:
    both = [name for name in some if name in others]
    if both:
        raise StemsError(f"{complaint}: '{both[0]}' is.", "Decide for one.", field="silent")
