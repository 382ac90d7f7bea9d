from __future__ import annotations

import pytest

from pipelines.demo.band.harmony import (
    BASS_RANGE,
    Chord,
    Key,
    bass_pitch,
    parse_chord,
    parse_progression,
    voice_chord,
)


def test_chord_symbols_become_harte_names_in_the_key() -> None:
    e_minor = Key(4, "minor")
    bars = parse_progression("Am7 Dm7,E7", e_minor)
    assert [[chord.name(e_minor) for chord in bar] for bar in bars] == [["E:min7"], ["A:min7", "B:7"]]
    assert parse_chord("Bbmaj7").tones == {10, 2, 5, 9}


def test_unknown_chord_symbol_is_refused() -> None:
    with pytest.raises(ValueError, match="Hm7"):
        parse_chord("Hm7")


@pytest.mark.parametrize("symbol", ["C", "Em7", "G9", "Bm7b5", "Asus4", "F5", "Ebm6"])
def test_bass_degrees_are_chord_tones_in_the_bass_register(symbol: str) -> None:
    chord = parse_chord(symbol)
    for degree in "R3578":
        for previous in range(BASS_RANGE[0], BASS_RANGE[1] + 1):
            pitch = bass_pitch(chord, degree, previous)
            assert BASS_RANGE[0] <= pitch <= BASS_RANGE[1]
            assert pitch % 12 in chord.tones
    assert bass_pitch(chord, "R", 36) % 12 == chord.root


def test_voicings_hold_chord_tones_and_move_little() -> None:
    first = voice_chord(Chord(9, "m7"), (), 55, 3)
    second = voice_chord(Chord(2, "9"), first, 55, 3)
    assert len(first) == len(second) == 3
    assert {pitch % 12 for pitch in second} <= Chord(2, "9").tones
    assert abs(sum(first) - sum(second)) <= 9
    assert min(*first, *second) >= 55
