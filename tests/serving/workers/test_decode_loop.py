from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.jobs import until

from models.audio.files import Audio, encode_audio, read_audio
from models.errors import StemsError
from models.lm.sampling import Sampling
from models.lm.transformer import Condition
from models.request_bounds import SamplingFields
from models.song.assembly import Assembly
from models.song.draft import Draft
from models.song.edit import Edit, FromText
from models.song.song_decoder import SongDecoder
from models.song.source import Source
from serving.workers.decode_loop import DecodeLoop
from serving.workers.protocol import Chunk, GenerationOrder


@pytest.fixture(scope="module")
def assembly(model_directory: Path) -> Assembly:
    return Assembly.load(model_directory, separates=False)


@pytest.fixture
def loop(assembly: Assembly) -> DecodeLoop:
    return DecodeLoop(assembly, slots=2, model=ThreadPoolExecutor(1))


def order(seed: int, seconds: float = 1.0) -> GenerationOrder:
    return GenerationOrder(FromText(seconds), "hum", SamplingFields(seed=seed))


async def gather(chunks: AsyncGenerator[Chunk, None]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Codes and stems of a whole song."""
    heard = [chunk async for chunk in chunks]
    sounds = [chunk.sound for chunk in heard if chunk.sound]
    stems = {name: np.concatenate([sound[name] for sound in sounds]) for name in sounds[0]}
    return np.concatenate([chunk.codes for chunk in heard], axis=1), stems


def test_songs_played_together_are_those_played_alone(loop: DecodeLoop, assembly: Assembly) -> None:
    async def together() -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        return await asyncio.gather(*(gather(loop.generate(order(seed, 1 + seed / 4))) for seed in range(5)))

    for seed, (codes, stems) in enumerate(asyncio.run(together())):
        alone = assembly.generate("hum", 1 + seed / 4, Sampling(seed=seed))
        np.testing.assert_array_equal(codes, alone.codes)
        for name, samples in alone.stems.items():
            np.testing.assert_allclose(stems[name], samples, atol=1e-4)


def test_kept_stems_come_back_to_the_bit(loop: DecodeLoop, assembly: Assembly) -> None:
    rate = assembly.sample_rate
    noise = np.random.default_rng(0).normal(size=(1, rate)).astype(np.float32) * 0.1
    sent = encode_audio(Audio(noise, rate), "flac")
    edit = GenerationOrder(Edit(silent=["other"]), "", SamplingFields(seed=1), {"bass": sent})
    _, stems = asyncio.run(gather(loop.generate(edit)))
    np.testing.assert_array_equal(stems["bass"], read_audio(sent).samples[0])
    assert not stems["other"].any()
    assert stems["drums"].any()


def test_edits_that_come_together_are_those_made_alone(loop: DecodeLoop, assembly: Assembly) -> None:
    rate, rng = assembly.sample_rate, np.random.default_rng(0)
    given = [Audio(rng.normal(size=(1, rate)).astype(np.float32) * 0.1, rate) for _ in range(3)]
    edit = Edit(silent=["other"])
    orders = [
        GenerationOrder(edit, "", SamplingFields(seed=seed), {"bass": encode_audio(audio)})
        for seed, audio in enumerate(given)
    ]

    async def together() -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
        return await asyncio.gather(*(gather(loop.generate(each)) for each in orders))

    for each, (codes, _) in zip(orders, asyncio.run(together()), strict=True):
        alone = assembly.edit(
            {"bass": Source(read_audio(each.stems["bass"]))}, edit, sampling=Sampling.of(each.sampling)
        )
        np.testing.assert_array_equal(codes, alone.codes)


def test_a_song_that_is_left_frees_its_slot_within_two_steps(loop: DecodeLoop) -> None:
    async def leave() -> tuple[int, int]:
        async with aclosing(loop.generate(order(1, 9.0))) as chunks:
            await anext(chunks)
            assert loop.load.running == 1
            before = loop.load.steps
        await until(lambda: not loop.load.running)
        return before, loop.load.steps

    before, after = asyncio.run(leave())
    assert after - before <= 2 + 1  # one of them had begun, and is counted when it ends


def test_a_song_that_is_left_while_it_waits_is_never_begun(
    loop: DecodeLoop, assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, begun = assembly.decoder, set()

    def decoder(draft: Draft) -> SongDecoder:
        made_one = made(draft)
        push = made_one.push

        def recorded(*frames: Any, **settings: Any) -> Any:
            begun.add(draft.request.sampling.seed)
            return push(*frames, **settings)

        monkeypatch.setattr(made_one, "push", recorded)
        return made_one

    async def leave() -> None:
        async with aclosing(loop.generate(order(1, 9.0))) as one, aclosing(loop.generate(order(2, 9.0))) as two:
            await asyncio.gather(anext(one), anext(two))
            waiting = asyncio.create_task(anext(loop.generate(order(3))))
            await until(lambda: loop.load.waiting == 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await gather(
            loop.generate(order(4))
        )  # had the third song stayed in the queue, it would begin before this one

    monkeypatch.setattr(assembly, "decoder", decoder)
    asyncio.run(leave())
    assert begun == {1, 2, 4}


def test_what_cannot_be_played_is_refused_alone(loop: DecodeLoop) -> None:
    async def both() -> Any:
        bad = GenerationOrder(Edit(["tuba"]), "", SamplingFields(seed=1))
        return await asyncio.gather(
            gather(loop.generate(order(1))), gather(loop.generate(bad)), return_exceptions=True
        )

    good, bad = asyncio.run(both())
    assert good[0].shape[1] == 50
    assert isinstance(bad, Exception)
    loop.check()


def test_a_song_beyond_the_model_is_refused(loop: DecodeLoop) -> None:
    with pytest.raises(StemsError) as caught:
        asyncio.run(gather(loop.generate(order(1, 1e6))))
    assert caught.value.field == "seconds"


def test_an_engine_that_fails_fails_its_songs_and_its_health(
    loop: DecodeLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("the memory is gone")

    monkeypatch.setattr(loop._thread.engine, "step", fail)
    with pytest.raises(RuntimeError, match="the memory is gone"):
        asyncio.run(gather(loop.generate(order(1))))
    with pytest.raises(RuntimeError, match="the memory is gone"):
        loop.check()


def test_who_comes_as_the_engine_fails_is_not_left_waiting(loop: DecodeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the memory is gone")

    monkeypatch.setattr(loop._thread.engine, "step", fail)
    with pytest.raises(RuntimeError):
        asyncio.run(gather(loop.generate(order(1))))
    monkeypatch.setattr(loop, "check", lambda: None)  # it was well when this one came
    with pytest.raises(RuntimeError, match="the memory is gone"):
        asyncio.run(asyncio.wait_for(gather(loop.generate(order(2))), 20))


def test_a_song_that_cannot_be_decoded_fails_alone(
    loop: DecodeLoop, assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = assembly.decoder

    def decoder(draft: Draft) -> SongDecoder:
        if draft.request.sampling.seed == 2:
            broken = made(draft)
            monkeypatch.setattr(broken, "push", lambda *_, **__: 1 / 0)
            return broken
        return made(draft)

    async def both() -> Any:
        return await asyncio.gather(*(gather(loop.generate(order(seed))) for seed in (1, 2)), return_exceptions=True)

    monkeypatch.setattr(assembly, "decoder", decoder)
    good, bad = asyncio.run(both())
    assert good[0].shape[1] == 50
    assert isinstance(bad, ZeroDivisionError)
    assert not loop.load.running
    loop.check()


def test_a_song_whose_numbers_overflow_fails_alone(loop: DecodeLoop, assembly: Assembly) -> None:
    """The one prompt becomes numbers that no model survives; the song beside it is what it is alone."""
    conditions = assembly.lm.conditions

    def overflowing(prompts: Sequence[str]) -> list[Condition | None]:
        return [replace(c, states=c.states * 3e37) if c and "loud" in p else c
                for p, c in zip(prompts, conditions(prompts), strict=True)]  # fmt: skip

    async def together() -> tuple[Any, Any, Any]:
        loud = GenerationOrder(FromText(1.0), "so loud", SamplingFields(seed=1))
        first = await asyncio.gather(
            gather(loop.generate(loud)), gather(loop.generate(order(2))), return_exceptions=True
        )
        return *first, await gather(loop.generate(order(3)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly.lm, "conditions", overflowing)
        broken, beside, after = asyncio.run(together())
    assert isinstance(broken, StemsError)
    assert broken.code == "broken_model"
    for (codes, _), seed in ((beside, 2), (after, 3)):
        np.testing.assert_array_equal(codes, assembly.generate("hum", 1.0, Sampling(seed=seed)).codes)
    loop.check()
    assert loop.load.running == 0
