"""What a vocal score is, and what a probe may say of it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.errors import StemsError
from models.separation import Separator
from models.separation.overlap_add import windows
from models.separation.probe import STRETCHES, stretches
from models.separation.vocals import DEFAULT_THRESHOLD, block_energies, song_score, vocal_score

RATE = 4000


class SideIsVocals(nn.Module):
    """Stands for a perfect separator: the voice is on the left alone, all else on the right alone."""

    sources = ("rest", "vocals")
    samplerate = RATE

    def __init__(self, segment: float = 2.0) -> None:
        super().__init__()
        self.segment = segment
        self.heard = 0

    def forward(self, mix: Tensor) -> Tensor:
        self.heard += len(mix)
        left, right = torch.tensor([1.0, 0.0])[:, None], torch.tensor([0.0, 1.0])[:, None]
        return torch.stack([mix * right, mix * left], dim=1)


class Leaking(SideIsVocals):
    """Takes what is on the right for a voice, where it is low in the segment."""

    def forward(self, mix: Tensor) -> Tensor:
        rest, vocals = super().forward(mix).unbind(1)
        place = torch.linspace(0, 1, mix.shape[-1])
        return torch.stack([rest * place, vocals + rest * (1 - place)], dim=1)


def noise(seconds: float, level_db: float = 0.0, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (0.1 * 10 ** (level_db / 20) * samples).astype(np.float32)


def sung(length: float, *parts: tuple[float, float], level_db: float = 0.0) -> np.ndarray:
    """A song with a voice on the left from one second to another."""
    voice, rest = noise(length, level_db, 1), noise(length, 0.0, 2)
    audible = np.zeros(len(voice), bool)
    for start, end in parts:
        audible[round(start * RATE) : round(end * RATE)] = True
    return np.stack([voice * audible, rest])


def by_hand(song: np.ndarray) -> float:
    left, right = np.array([[1], [0]], np.float32), np.array([[0], [1]], np.float32)
    return vocal_score(song, {"vocals": left * song, "rest": right * song}, RATE)


def test_a_verse_in_a_long_song_is_sung() -> None:
    throughout = by_hand(sung(240, (0, 240)))
    assert throughout == pytest.approx(0.5, abs=0.02)
    for start in (0, 100.9, 225):
        assert by_hand(sung(240, (start, start + 15))) > 0.6 * throughout
    assert by_hand(sung(240)) == 0
    # One segment of htdemucs with 30 % of the energy in the voice, and silence in the vocals elsewhere.
    assert by_hand(sung(240, (100, 107.8), level_db=-3.7)) > 1.5 * DEFAULT_THRESHOLD


def test_a_voice_that_pauses_adds_up() -> None:
    phrases = [(20.0 + 7 * k, 21.5 + 7 * k) for k in range(10)]
    assert by_hand(sung(120, *phrases)) > 0.3


def test_an_instrument_that_is_taken_for_a_voice_for_a_moment_does_not_count() -> None:
    assert by_hand(sung(240, (100, 102), level_db=20)) < DEFAULT_THRESHOLD
    assert by_hand(sung(240, (100, 103.9), level_db=0)) < DEFAULT_THRESHOLD
    # What leaks into all of it is no voice either.
    assert by_hand(sung(240, (0, 240), level_db=-18)) == pytest.approx(0.02)


def test_a_quiet_voice_counts_by_its_energy() -> None:
    for level in (0, -10, -13, -15):
        energy = 10 ** (level / 10)
        assert by_hand(sung(60, (0, 60), level_db=level)) == pytest.approx(energy / (1 + energy), rel=0.1)


def test_what_sounds_in_silence_is_not_a_voice() -> None:
    song = sung(60, (0, 30), level_db=-45)
    song[1, : 30 * RATE] = 0
    assert by_hand(song) == pytest.approx(0.02)
    # An unaccompanied verse, 10 dB below the band, is.
    song = sung(60, (0, 30), level_db=-10)
    song[1, : 30 * RATE] = 0
    assert by_hand(song) > 0.9


def test_offsets_are_no_sound() -> None:
    song = sung(20)
    stems = {"vocals": np.zeros_like(song) + 0.2, "rest": song}
    assert vocal_score(song + 0.2, stems, RATE) == pytest.approx(0, abs=1e-6)


def test_scores_of_songs_of_any_length() -> None:
    assert by_hand(sung(6, (0, 6))) == pytest.approx(0.5, abs=0.05)
    assert by_hand(sung(20, (0, 16))) == pytest.approx(0.5, abs=0.05)
    assert by_hand(sung(6, (0, 2))) == pytest.approx((0.5 * 0.02 * 0.02) ** (1 / 3), rel=0.1)
    assert by_hand(sung(0.3, (0, 0.3))) == pytest.approx(0.5, abs=0.05)
    assert by_hand(np.ones((2, 1), np.float32)) == 0
    assert by_hand(np.zeros((2, 20 * RATE), np.float32)) == 0
    assert by_hand(np.ones((2, 20 * RATE), np.float32)) == 0
    assert song_score(np.zeros(0)) == 0


def test_a_song_without_vocals_among_its_stems_has_none() -> None:
    assert vocal_score(sung(5), {"rest": sung(5)}, RATE) == 0


def test_a_score_is_one_that_a_table_can_hold() -> None:
    score = by_hand(sung(20, (0, 20)))
    assert score == float(np.float32(score))


@settings(max_examples=25, deadline=None)
@given(
    segment=st.sampled_from((0.5, 0.78, 2.0, 7.8)),
    length=st.floats(0.01, 60),
    parts=st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90)), max_size=3),
    level=st.floats(-30, 20),
)
def test_a_probe_never_says_more_than_the_whole_song(
    segment: float, length: float, parts: list[tuple[float, float]], level: float
) -> None:
    song = sung(length, *parts, level_db=level)
    separator = Separator([Leaking(segment)], batch=1)
    [first] = separator.listen([song], enough=0.1)
    [probe] = separator.listen([song])
    [stems] = separator.separate([song], [probe])
    assert first.score <= probe.score <= vocal_score(song, stems, RATE)
    assert vocal_score(song, stems, RATE) == separator.vocal_score([song])[0]


def test_a_probe_finds_songs_that_are_sung_throughout_in_a_fifth_of_them() -> None:
    network = SideIsVocals(7.8)
    separator = Separator([network])
    songs = [sung(240, (0, 240)), sung(240, (10, 60), (120, 200)), sung(240)]
    throughout, verses, never = (probe.score for probe in separator.listen(songs))
    heard, network.heard = network.heard, 0
    assert throughout > 0.45
    assert verses > 0.45
    assert never == 0
    separator.separate(songs)
    assert heard < 0.2 * network.heard


def test_a_probe_stops_where_it_has_heard_enough() -> None:
    network = SideIsVocals(7.8)
    separator = Separator([network])
    songs = [sung(240), sung(240, (0, 240)), sung(240)]
    none, some, _ = separator.listen(songs, DEFAULT_THRESHOLD)
    assert len(some.heard) == len(none.heard) / 2
    assert DEFAULT_THRESHOLD < some.score <= separator.vocal_score(songs[1:2])[0]


def test_stretches_are_the_loudest_of_their_quarter_and_complete() -> None:
    wave = noise(240)
    loud, block = (30, 100, 130, 200), 2 * RATE
    for second in loud:
        wave[second * RATE : (second + 9) * RATE] *= 10
    plan = windows(3, len(wave), int(7.8 * RATE))
    found = stretches(plan, block_energies(wave[None], block), block, RATE)
    assert len(found) == len(loud)
    for stretch, second in zip(found, loud, strict=True):
        assert set(stretch.windows) <= set(plan)
        assert {*stretch.blocks} >= {*range(second // 2 + 2, second // 2 + 4)}
        others = [w for w in plan if w not in stretch.windows]
        for number in stretch.blocks:
            assert all(w.start + w.length <= number * block or w.start >= (number + 1) * block for w in others)


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 200_000), segment=st.sampled_from((Fraction(1, 2), Fraction(39, 50), Fraction(39, 5))))
def test_songs_of_any_length_have_stretches(samples: int, segment: Fraction) -> None:
    plan = windows(0, samples, int(segment * RATE))
    found = stretches(plan, np.ones(-(-samples // RATE)), RATE, RATE)
    heard = [window for stretch in found for window in stretch.windows]
    assert 1 <= len(found) <= STRETCHES
    assert heard == sorted(heard, key=lambda window: window.start)
    assert len(set(heard)) == len(heard)
    blocks = [block for stretch in found for block in stretch.blocks]
    assert len(set(blocks)) == len(blocks)
    assert all(0 <= block < -(-samples // RATE) for block in blocks)


def test_a_separator_without_vocals_cannot_score() -> None:
    network = SideIsVocals()
    network.sources = ("rest", "noise")
    for ask in (Separator([network]).listen, Separator([network]).vocal_score):
        with pytest.raises(StemsError, match="its sources are rest, noise"):
            ask([np.zeros((2, RATE), np.float32)])


def test_the_general_threshold_is_that_of_a_voice_13_db_below_the_rest() -> None:
    assert by_hand(sung(60, (0, 60), level_db=-13)) > DEFAULT_THRESHOLD > by_hand(sung(60, (0, 60), level_db=-14))
