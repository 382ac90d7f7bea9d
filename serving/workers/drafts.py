"""What the engine is asked for, by what a worker is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models.audio.files import Audio, read_audio
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.draft import Draft
from models.song.edit import Edit, FromText
from serving.workers.protocol import GenerationOrder


def draft_of(assembly: Assembly, order: GenerationOrder) -> Draft:
    """An order as the engine is asked for it. Reads and encodes the given stems.

    Raises:
        StemsError: the order cannot be carried out.
    """
    given = {name: read_audio(data, name=name) for name, data in order.stems.items()}
    return _DRAFTS[type(order.task)](assembly, order.task, given, order.prompt, Sampling.of(order.sampling))


def _song(assembly: Assembly, task: FromText, _: Mapping[str, Audio], prompt: str, sampling: Sampling) -> Draft:
    return assembly.song_draft(prompt, task.seconds, sampling)


def _edit(assembly: Assembly, task: Edit, given: Mapping[str, Audio], prompt: str, sampling: Sampling) -> Draft:
    return assembly.edit_draft(given, task, prompt, sampling)


_DRAFTS: Mapping[type, Callable[[Assembly, Any, Mapping[str, Audio], str, Sampling], Draft]] = {
    FromText: _song,
    Edit: _edit,
}
