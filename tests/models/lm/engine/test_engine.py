"""What a request gives depends on itself and its seed alone; nothing that others do changes it."""

from __future__ import annotations

import gc
from collections import defaultdict
from dataclasses import dataclass, replace
from random import Random

import pytest
import torch
from helpers.engines import engine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx

from models.errors import StemsError
from models.lm.delay import delay_codes
from models.lm.engine.engine import Engine
from models.lm.engine.request import Request
from models.lm.engine.step import DrawKind, batch_step
from models.lm.grid import Grid
from models.lm.sampling import Sampling, guide
from models.lm.transformer import Condition, StemTransformer, TransformerSize
from models.stems import StemLayout

LAYOUT = StemLayout.parse("low:1,high:3")
DELAYS = LAYOUT.delays
CODES = 20
SEGMENT = 30


@pytest.fixture(scope="module")
def model() -> StemTransformer:
    torch.manual_seed(0)
    size = TransformerSize(streams=4, cardinality=CODES, dim=32, heads=4, layers=2, text_dim=8)
    return StemTransformer(size).eval()


def text(seed: int, length: int = 5) -> Condition:
    states = torch.randn(1, length, 8, generator=torch.Generator().manual_seed(seed))
    return Condition.of(states, torch.ones(1, length, dtype=torch.bool))


KINDS = {
    "float32": {"precision": "float32"},
    "int8": {"precision": "int8"},
    "bfloat16": {"precision": "bfloat16"},
    "static": {"precision": "float32", "static": True},
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(model: StemTransformer, kind: str = "float32", slots: int = 2) -> Engine:
    return engine(model, DELAYS, slots=slots, segment_frames=SEGMENT, **KINDS[kind])  # type: ignore[arg-type]


def blank(frames: int, seed: int = 1, words: int = 5, **sampling: float) -> Request:
    condition = text(seed, words) if words else None
    return Request(Grid.blank(4, frames), condition, Sampling(seed=seed, **sampling))  # type: ignore[arg-type]


def edit(frames: int, seed: int, known_share: float = 0.5) -> Request:
    """A song of which some codes are known, the others hidden; longer ones take several windows."""
    random = torch.Generator().manual_seed(seed)
    codes = torch.randint(CODES, (4, frames), generator=random)
    known = torch.rand((4, frames), generator=random) < known_share
    return Request(Grid(codes, known), text(seed), Sampling(seed=seed, top_k=10), hidden=~known)


# ---------------------------------------------------------------- the same music under any load


@dataclass
class Play:
    """An engine driven by hand: frames as they come, by request."""

    engine: Engine

    def __post_init__(self) -> None:
        self.parts: dict[int, list[torch.Tensor]] = defaultdict(list)
        self.done: set[int] = set()

    def step(self) -> None:
        for output in self.engine.step():
            assert output.sequence_id not in self.done
            assert output.first == sum(part.shape[1] for part in self.parts[output.sequence_id])
            self.parts[output.sequence_id].append(output.codes)
            if output.done:
                self.done.add(output.sequence_id)

    def finish(self) -> None:
        while self.engine.waiting or self.engine.running:
            self.step()

    def song(self, number: int) -> torch.Tensor:
        return torch.cat(self.parts[number], dim=1)


requests = st.one_of(
    st.builds(
        blank,
        st.integers(1, 70),
        st.integers(0, 5),
        st.sampled_from([0, 1, 7]),
        guidance=st.sampled_from([1.0, 3.0]),
        top_k=st.sampled_from([0, 5]),
        top_p=st.sampled_from([0.0, 0.9]),
    ),
    st.builds(edit, st.integers(1, 60), st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0])),
)


@each_kind
@given(songs=st.lists(requests, min_size=1, max_size=6), seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_the_same_seed_gives_the_same_music_under_any_load(
    model: StemTransformer, kind: str, songs: list[Request], seed: int
) -> None:
    alone = [make(model, kind).run([song])[0] for song in songs]
    random, play, numbers, left = Random(seed), Play(make(model, kind)), {}, set()
    coming = list(range(len(songs)))
    random.shuffle(coming)
    while coming or play.engine.waiting or play.engine.running:
        if coming and random.random() < 0.3:
            arrived = coming.pop()
            numbers[arrived] = play.engine.submit(songs[arrived])[0]
        if numbers and random.random() < 0.03:
            left.add(gone := random.choice(list(numbers)))
            play.engine.cancel(numbers[gone])
        play.step()
    assert play.engine.free_rows == play.engine.plan.rows
    for index, number in numbers.items():
        if number in play.done:
            assert torch.equal(play.song(number), alone[index])
        else:
            assert index in left


@each_kind
def test_takes_are_the_songs_of_their_seeds(model: StemTransformer, kind: str) -> None:
    request = edit(50, seed=3)
    play = Play(make(model, kind, slots=3))
    numbers = play.engine.submit(request, takes=4)
    play.finish()
    for take, number in enumerate(numbers):
        sampling = replace(request.sampling, seed=3 + take)
        [alone] = make(model, kind).run([replace(request, sampling=sampling)])
        assert torch.equal(play.song(number), alone)


def test_takes_read_what_is_known_once(model: StemTransformer) -> None:
    prompt = torch.randint(CODES, (4, 30))
    several = make(model, slots=4)
    known = torch.ones((4, 30), dtype=torch.bool)
    known[:, 25:] = False
    request = Request(Grid(prompt, known), text(1), Sampling(seed=1))
    steps = {}
    for takes in (1, 4):
        several.submit(request, takes)
        steps[takes] = 0
        while several.waiting or several.running:
            several.step()
            steps[takes] += 1
    # The others begin in the same turn in which the first has read all.
    assert steps[4] <= steps[1] + 1


def test_takes_go_on_where_the_one_that_read_for_them_is_cancelled(model: StemTransformer) -> None:
    known = torch.zeros((4, 30), dtype=torch.bool)
    known[:, :25] = True  # two chunks of prefill
    request = Request(Grid(torch.randint(CODES, (4, 30)), known), text(1), Sampling(seed=1))
    play = Play(make(model, slots=3))
    first, *others = play.engine.submit(request, takes=3)
    play.step()
    play.engine.cancel(first)
    play.finish()
    for take, number in enumerate(others, start=1):
        [alone] = make(model).run([replace(request, sampling=Sampling(seed=1 + take))])
        assert torch.equal(play.song(number), alone)


def test_a_thousand_requests_leak_nothing_and_nobody_starves(model: StemTransformer) -> None:
    random, play = Random(1), Play(make(model, slots=3))
    left, began, turn = set(), {}, 0
    tensors = None
    for _ in range(1_000):
        song = blank(random.randint(1, 12), random.randint(0, 9), guidance=random.choice([1.0, 3.0]))
        [number] = play.engine.submit(song)
        began[number] = turn
        if random.random() < 0.3:
            gone = random.randint(0, number)
            play.engine.cancel(gone)
            if gone not in play.done:
                left.add(gone)
        ahead = play.engine.waiting + play.engine.running
        while play.engine.waiting > 8:
            play.step()
            turn += 1
        assert ahead <= 20
        if number == 200:
            tensors = _tensors()
    play.finish()
    assert play.done | left == set(range(1_000))
    assert not play.done & left
    assert play.engine.free_rows == play.engine.plan.rows
    play.parts.clear()
    assert tensors is not None
    assert _tensors() <= tensors


def _tensors() -> int:
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


def test_a_cancelled_request_gives_its_rows_back_at_once(model: StemTransformer) -> None:
    crowded = make(model, slots=1)
    first, second = (crowded.submit(blank(30, seed))[0] for seed in range(2))
    crowded.step()
    assert (crowded.running, crowded.waiting, crowded.free_rows) == (1, 1, 0)
    crowded.cancel(first)
    assert crowded.free_rows == 2
    news = crowded.step()
    assert (crowded.running, crowded.waiting) == (1, 0)
    crowded.cancel(second)
    crowded.cancel(12345)
    assert not news
    assert not crowded.step()


# ---------------------------------------------------------------- what comes back


@each_kind
def test_known_tokens_come_back_and_the_rest_is_written(model: StemTransformer, kind: str) -> None:
    request = edit(100, seed=4)
    [out] = make(model, kind).run([request])
    codes, known = request.grid.codes, request.grid.known
    assert torch.equal(out[known], codes[known])
    assert (out < CODES).all()
    assert not torch.equal(out, codes)


def test_a_grid_that_is_wholly_known_comes_back(model: StemTransformer) -> None:
    request = edit(70, seed=1, known_share=1.0)
    assert torch.equal(make(model).run([request])[0], request.grid.codes)


def test_frames_come_before_the_song_is_finished(model: StemTransformer) -> None:
    play = Play(make(model))
    [number] = play.engine.submit(blank(30))
    taken = 0
    while not play.parts[number]:
        play.step()
        taken += 1
    first = play.parts[number][0].shape[1]
    assert first == play.engine.plan.report_frames
    # One step a frame, and those by which the most delayed stream is late.
    assert taken == first + max(DELAYS)


def test_other_seeds_and_prompts_give_other_music(model: StemTransformer) -> None:
    first = blank(20, seed=1)
    second = replace(first, sampling=replace(first.sampling, seed=2))
    third = replace(first, condition=text(2))
    songs = [make(model).run([request])[0] for request in (first, second, third)]
    assert not torch.equal(songs[0], songs[1])
    assert not torch.equal(songs[0], songs[2])


def test_a_song_longer_than_the_window_goes_on_from_the_overlap(model: StemTransformer) -> None:
    long, short = (make(model).run([blank(frames)])[0] for frames in (80, SEGMENT))
    assert long.shape[1] == 80
    assert torch.equal(long[:, :SEGMENT], short)


def test_guidance_one_takes_one_row_and_no_text_is_no_guidance(model: StemTransformer) -> None:
    one = make(model, slots=1)
    for request in (blank(5, guidance=1.0), blank(5, words=0)):
        one.submit(request)
    one.step()
    assert (one.running, one.free_rows) == (2, 0)


# ---------------------------------------------------------------- the same numbers as the module that trains


@each_kind
def test_greedy_tokens_are_those_of_the_whole_sequence(model: StemTransformer, kind: str) -> None:
    """Each token is the likeliest one, by the module that trains, given those before it."""
    request = replace(edit(SEGMENT - 8, seed=2), sampling=Sampling(temperature=0), hidden=None)
    [out] = make(model, kind).run([request])
    sequence = delay_codes(out[None], DELAYS, CODES)
    with torch.no_grad():
        conditional = model(sequence[..., :-1], request.condition or Condition.null(1, 8))
        unconditional = model(sequence[..., :-1], Condition.null(1, 8))
    guided = guide(conditional, unconditional, 3.0)[0]
    open_ = ~delay_codes(request.grid.known[None].long(), DELAYS, 1)[0, :, 1:].bool()
    likeliest = guided.argmax(dim=-1)[open_]
    agreed = float((likeliest == sequence[0, :, 1:][open_]).float().mean())
    assert agreed == 1 if kind in ("float32", "static") else agreed > 0.8


def test_a_step_is_decided_by_tensors_alone(model: StemTransformer) -> None:
    """One step, recorded as a graph of tensor operations and replayed, writes songs: a device may capture it."""
    song, other = blank(SEGMENT, top_k=5), blank(20, seed=2, top_k=5)
    expected = make(model, "static").run([song, other])
    recorded = make(model, "static")
    numbers = [recorded.submit(request)[0] for request in (song, other)]
    play = Play(recorded)
    play.step()

    def once(nothing: torch.Tensor) -> torch.Tensor:
        batch_step(recorded._network, recorded._rows, DrawKind.of([song.sampling], fixed=True))
        return nothing

    recorded._rows.set_exec_mask([])  # recording advances no row
    with torch.inference_mode():
        graph = make_fx(once)(torch.zeros(1))
    recorded._batch_step = lambda kind: graph(torch.zeros(1))
    play.finish()
    assert all(torch.equal(play.song(number), codes) for number, codes in zip(numbers, expected, strict=True))


# ---------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (Request(Grid.blank(3, 5)), "grid", r"\[4, columns\]"),
        (Request(Grid.blank(4, 0)), "grid", "no columns"),
        (Request(Grid.blank(4, 1001)), "grid", "At most 1000"),
        (Request(Grid(torch.full((4, 5), CODES + 1), torch.ones(4, 5).bool())), "grid", "from 0 to 19"),
        (Request(Grid(torch.full((4, 5), -1), torch.ones(4, 5).bool())), "grid", "from -1"),
        (Request(Grid.blank(4, 5), hidden=torch.zeros(4, 6).bool()), "hidden", r"\(4, 5\)"),
        (Request(Grid.blank(4, 5), text(1, length=21)), "prompt", "At most 20"),
        (Request(Grid.blank(4, 5), Condition.cat([text(1), text(2)])), "prompt", "2 texts"),
    ],
)
def test_bad_requests_are_refused_before_they_take_a_slot(
    model: StemTransformer, request_: Request, field: str, words: str
) -> None:
    refusing = make(model)
    with pytest.raises(StemsError, match=words) as caught:
        refusing.submit(request_)
    assert caught.value.field == field
    assert (refusing.waiting, refusing.running, refusing.free_rows) == (0, 0, refusing.plan.rows)
