"""What the service is measured against: the same model behind Ray Serve in the two ways that its documentation shows.

Both keep the event loop free while the model computes, and take more requests than they work on, so that the next is
at hand when one is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from models.audio.files import Audio, encode_audio, safe_gain
from models.lm.engine.weights import Precision
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.song import mixed

if TYPE_CHECKING:
    from ray.serve import Application

WAIT_S = 0.1
"""How long a batch waits for more."""

_AT_HAND = 1024
"""Requests that a replica holds at once; they mostly wait."""


class Ask(NamedTuple):
    """A song that is asked for."""

    prompt: str
    seconds: float
    seed: int

    @property
    def sampling(self) -> Sampling:
        return Sampling(seed=self.seed)


class _Peer:
    """A model and the thread that it has, from loading on.

    OpenMP gives each thread that computes helpers of its own, and slows all down once they are more than cores.
    """

    def __init__(self, folder: str, precision: Precision | None) -> None:
        self._model = ThreadPoolExecutor(max_workers=1)
        load = partial(Assembly.load, folder, precision=precision, separates=False)
        self.assembly = self._model.submit(load).result()

    async def work(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._model, work, *given)


class OneACall(_Peer):
    """The model is called for one request after the other."""

    async def __call__(self, http: HttpRequest) -> Response:
        return Response(await self.work(self._song, Ask(**await http.json())), media_type="audio/wav")

    def _song(self, ask: Ask) -> bytes:
        return mix(self.assembly.generate(ask.prompt, ask.seconds, ask.sampling).stems, self.assembly.sample_rate)


class Batched(_Peer):
    """Requests that come together are a batch, which the engine runs to its end; then all are answered.

    Args:
        folder: the model.
        precision: in which it decodes.
        size: the largest batch.
        padded: every song of a batch is written as long as the longest, and cut, as transformers' `generate` has one
            length for a batch. Without, the engine lets those go that are done, and its steps get cheaper.
    """

    def __init__(self, folder: str, precision: Precision | None, size: int, padded: bool) -> None:
        from ray import serve

        super().__init__(folder, precision)
        self._padded = padded
        engine = partial(self.assembly.lm.engine, size, precision, self.assembly.max_seconds)
        self._engine = self._model.submit(engine).result()

        @serve.batch(max_batch_size=size, batch_wait_timeout_s=WAIT_S)
        async def together(asks: list[Ask]) -> list[bytes]:
            songs: list[bytes] = await self.work(self._songs, asks)
            return songs

        self._together: Any = together

    async def __call__(self, http: HttpRequest) -> Response:
        return Response(await self._together(Ask(**await http.json())), media_type="audio/wav")

    def _songs(self, asks: Sequence[Ask]) -> list[bytes]:
        longest = max(ask.seconds for ask in asks)
        model, songs = self.assembly, []
        drafts = [model.draft_song(ask.prompt, ask.seconds, ask.sampling) for ask in asks]
        written = [
            model.draft_song(ask.prompt, longest, ask.sampling) if self._padded else draft
            for ask, draft in zip(asks, drafts, strict=True)
        ]
        all_codes = self._engine.run([draft.request for draft in written])
        for draft, codes in zip(drafts, all_codes, strict=True):
            frames = codes[:, : draft.request.grid.columns]
            songs.append(mix(model.decoder(draft).push(frames, last=True), model.sample_rate))
        return songs


def mix(stems: Mapping[str, np.ndarray], rate: int) -> bytes:
    """The mix as the service gives it: the same gain, the same format."""
    sound = mixed(stems)
    gain = safe_gain(sound, *stems.values())
    return encode_audio(Audio((gain * sound)[np.newaxis].astype(np.float32), rate))


def one_a_call(folder: str, precision: Precision | None, cpus: float) -> Application:
    return _deployed(OneACall, cpus, folder, precision)


def batched(folder: str, precision: Precision | None, cpus: float, size: int, *, padded: bool) -> Application:
    return _deployed(Batched, cpus, folder, precision, size, padded)


def _deployed(peer: type[_Peer], cpus: float, *given: Any) -> Application:
    from ray import serve

    options = serve.deployment(peer).options(
        max_ongoing_requests=_AT_HAND, ray_actor_options={"num_cpus": cpus}, graceful_shutdown_timeout_s=5
    )
    return options.bind(*given)
