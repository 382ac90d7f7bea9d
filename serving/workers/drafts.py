"""From a worker's task to the engine's request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models.audio.files import read_audio
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.continuation import Continuation
from models.song.draft import Draft
from models.song.edit import Edit, FromText
from models.song.source import Source
from serving.workers.protocol import GenerationOrder


def draft_of(assembly: Assembly, order: GenerationOrder) -> Draft:
    """Turn an order into the engine's request. Reads the given stems, and encodes those whose codes are unknown.

    Raises:
        StemsError: the order cannot be carried out.
    """
    sources = {name: Source(read_audio(data, name=name), order.codes.get(name)) for name, data in order.stems.items()}
    return _DRAFTS[type(order.task)](assembly, order.task, sources, order.prompt, Sampling.of(order.sampling))


def _song(assembly: Assembly, task: FromText, _: Mapping[str, Source], prompt: str, sampling: Sampling) -> Draft:
    return assembly.draft_song(prompt, task.seconds, sampling)


def _edit(assembly: Assembly, task: Edit, sources: Mapping[str, Source], prompt: str, sampling: Sampling) -> Draft:
    return assembly.draft_edit(sources, task, prompt=prompt, sampling=sampling)


def _continuation(
    assembly: Assembly, task: Continuation, sources: Mapping[str, Source], prompt: str, sampling: Sampling
) -> Draft:
    return assembly.draft_continuation(sources, task, prompt=prompt, sampling=sampling)


_DRAFTS: Mapping[type, Callable[[Assembly, Any, Mapping[str, Source], str, Sampling], Draft]] = {
    FromText: _song,
    Edit: _edit,
    Continuation: _continuation,
}
