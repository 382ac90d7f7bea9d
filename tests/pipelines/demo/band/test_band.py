from __future__ import annotations

import numpy as np
import pytest

from models.audio.files import Audio, loudness
from models.errors import StemsError
from pipelines.demo.band.band import PEAK, Performance, mix_down, play
from pipelines.demo.band.harmony import BASS_RANGE, PITCH_NAMES, QUALITIES
from pipelines.demo.band.parts import onsets
from pipelines.demo.band.styles import STYLES
from pipelines.demo.band.synth import RATE
from pipelines.demo.band.timbres import INSTRUMENTS

SECONDS = 12.0


@pytest.fixture(scope="module")
def songs() -> dict[str, Performance]:
    return {style: play(5, style, sung=True, seconds=SECONDS) for style in STYLES}


def test_same_seed_same_samples_and_other_seed_others() -> None:
    once, again, other = (play(seed, "funk", sung=True, seconds=4.0) for seed in (1, 1, 2))
    for stem in once.stems:
        np.testing.assert_array_equal(once.stems[stem], again.stems[stem])
        assert not np.array_equal(once.stems[stem], other.stems[stem])
    assert once.caption == again.caption


def test_a_singer_changes_no_other_part() -> None:
    alone, sung = (play(3, "house", sung=sung, seconds=4.0) for sung in (False, True))
    assert alone.bass_notes == sung.bass_notes
    for stem in ("bass", "drums"):
        ratio = sung.stems[stem] / np.where(np.abs(alone.stems[stem]) > 1e-3, alone.stems[stem], np.inf)
        scale = ratio[ratio != 0]
        np.testing.assert_allclose(scale, np.median(scale), rtol=1e-3)


def test_mix_is_the_sum_of_stereo_stems_with_a_safe_peak(songs: dict[str, Performance]) -> None:
    for song in songs.values():
        np.testing.assert_array_equal(song.mix, mix_down(song.stems))
        assert song.mix.shape == (2, round(SECONDS * RATE))
        assert song.mix.dtype == np.float32
        assert np.abs(song.mix).max() == pytest.approx(PEAK, rel=1e-3)
        assert not np.array_equal(song.stems["other"][0], song.stems["other"][1])


def test_stems_are_of_comparable_loudness(songs: dict[str, Performance]) -> None:
    for song in songs.values():
        levels = [loudness(Audio(samples, RATE)) for samples in song.stems.values()]
        assert max(levels) - min(levels) < 8.0, song.style


def test_bass_plays_the_root_on_the_downbeat_and_chord_tones_elsewhere(songs: dict[str, Performance]) -> None:
    for song in songs.values():
        told = [(note, _chord_at(song, note.start)) for note in song.bass_notes]
        share = np.mean([note.pitch % 12 in tones for note, (_, tones) in told])
        assert share > 0.9, song.style
        for note, (root, _) in told:
            assert BASS_RANGE[0] <= note.pitch <= BASS_RANGE[1]
            if min(abs(note.start - beat) for beat in song.downbeats) < 0.02:
                assert note.pitch % 12 == root


def test_bass_stem_sounds_at_the_written_pitch(songs: dict[str, Performance]) -> None:
    song = songs["synthwave"]
    wave = song.stems["bass"][0]
    right = []
    for note in song.bass_notes:
        start, end = int((note.start + 0.02) * RATE), int(note.end * RATE)
        power = np.abs(np.fft.rfft(wave[start:end] * np.hanning(end - start), 1 << 16)) ** 2
        # Every harmonic of the right pitch lies on a peak; the wrong ones fall between.
        own, wrong = (_harmonic_power(power, note.pitch + shift) for shift in (0, 6))
        right.append(own > wrong)
    assert np.mean(right) > 0.95


def test_drum_onsets_sit_on_the_beat_grid(songs: dict[str, Performance]) -> None:
    for song in songs.values():
        onsets_found = _onsets(song.stems["drums"])
        assert len(onsets_found) > 15
        sixteenth = 15.0 / song.tempo
        swing = STYLES[song.style].swing * sixteenth
        step = np.round(onsets_found / sixteenth)
        late = onsets_found - step * sixteenth
        late = np.minimum(np.abs(late), np.abs(late - swing))
        assert np.mean(late < 0.02) > 0.9, song.style


def test_beats_follow_the_tempo_and_chords_cover_the_song(songs: dict[str, Performance]) -> None:
    for song in songs.values():
        np.testing.assert_allclose(np.diff(song.beats), 60.0 / song.tempo)
        assert song.downbeats == song.beats[::4]
        starts, ends, _ = zip(*song.chords, strict=True)
        assert starts[0] == 0.0
        assert ends[-1] == SECONDS
        assert starts[1:] == ends[:-1]


def test_bass_is_low_and_voice_has_formants(songs: dict[str, Performance]) -> None:
    for song in songs.values():
        assert _share(song.stems["bass"], 0, 300) > 0.7
        # A voice: some energy in its second and third formants, which no bass or pad gives it.
        assert _share(song.stems["vocals"], 1000, 4500) > 0.02
        assert np.abs(song.stems["vocals"]).max() > 0.05


def test_captions_name_style_key_and_tempo(songs: dict[str, Performance]) -> None:
    for style, song in songs.items():
        assert style.split()[-1] in song.caption
        assert f"{song.tempo} bpm" in song.caption
        assert song.key in song.caption
        assert style.split()[0] in " ".join(song.tags)


def test_tags_mention_singing_only_when_told_to() -> None:
    told, untold = (play(7, "reggae", True, 4.0, said).tags for said in (True, False))
    assert {"vocals", "singing"} & set(told)
    assert not {"vocals", "singing"} & set(untold)


def test_bad_requests_name_the_field() -> None:
    with pytest.raises(StemsError, match="polka") as style:
        play(0, "polka")
    assert style.value.field == "style"
    with pytest.raises(StemsError) as seconds:
        play(0, seconds=0.5)
    assert seconds.value.field == "seconds"


def test_styles_are_well_written() -> None:
    for style in STYLES.values():
        drums = [*style.drums, style.chorus_drums, *style.fills]
        patterns = [p for groove in drums for p in groove.values()]
        patterns += [*style.bass, *(p for layer in style.layers for p in layer.patterns)]
        assert all(len(pattern) % 16 == 0 for pattern in patterns), style.name
        assert all(line[0] == "R" for line in style.bass)
        assert {style.lead, style.bass_timbre, *(layer.instrument for layer in style.layers)} <= set(INSTRUMENTS)


def test_onsets_of_a_pattern() -> None:
    assert onsets("R--.5-x.") == [(0, 3, "R"), (4, 2, "5"), (6, 1, "x")]


def _chord_at(song: Performance, time: float) -> tuple[int, set[int]]:
    """Root and tones of the chord, read from the truth as an evaluation tool would read it."""
    name = next(name for start, end, name in song.chords if start - 0.005 <= time < end - 0.005)
    root_name, quality = name.split(":")
    root = next(names.index(root_name) for names in PITCH_NAMES.values() if root_name in names)
    intervals = next(steps for harte, steps in QUALITIES.values() if harte == quality)
    return root, {(root + step) % 12 for step in intervals}


def _harmonic_power(power: np.ndarray, pitch: int) -> float:
    hertz = 440.0 * 2 ** ((pitch - 69) / 12) * np.arange(1, 6)
    return float(power[np.round(hertz * (1 << 16) / RATE).astype(int)].sum())


def _onsets(drums: np.ndarray) -> np.ndarray:
    """Times where the energy of short frames jumps, in seconds; highs count more, since kicks ring."""
    hop = 256
    wave = np.diff(drums.mean(axis=0))
    frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
    energy = np.sqrt((frames**2).mean(axis=1)) + 1e-4
    rise = np.diff(np.log(energy), prepend=np.log(1e-4))
    loud = np.flatnonzero((rise > 1.2) & (energy > 0.1 * energy.max()))
    apart = np.diff(loud, prepend=-100) > 0.04 * RATE / hop
    return loud[apart] * hop / RATE


def _share(stem: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(stem.mean(axis=0))) ** 2
    hertz = np.fft.rfftfreq(stem.shape[1], 1 / RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum() / power.sum())
