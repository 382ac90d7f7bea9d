"""Captions and tags that say what is heard."""

from __future__ import annotations

import numpy as np

from pipelines.demo.band.score import Arrangement

_SINGING = ("vocals", "singing")
_PLACES = (
    "Harbour", "Café", "Midnight", "Río", "Señorita", "Garden", "Velvet", "Northern", "Paper", "Copper",
    "Été", "Glass", "Lantern", "Tidal", "Window", "Orchard",
)  # fmt: skip
_THINGS = (
    "Lights", "Drive", "Letters", "Shuffle", "Mirage", "Rain", "Avenue", "Signals", "Waltzer", "Bloom",
    "Echoes", "Postcard", "Engine", "Skyline", "Déjà Vu", "Parade",
)  # fmt: skip


def tempo_word(tempo: int) -> str:
    """One of slow (under 85 beats a minute), mid-tempo, and fast (from 118)."""
    return "slow" if tempo < 85 else "mid-tempo" if tempo < 118 else "fast"


def instruments(arrangement: Arrangement, lead: str) -> list[str]:
    """The pitched instruments besides the bass, in order of importance."""
    kinds = {section.kind for section in arrangement.sections}
    played = [layer.instrument for layer in arrangement.style.layers if kinds & set(layer.sections)]
    return [*played, lead] if lead else played


def describe(arrangement: Arrangement, lead: str, rng: np.random.Generator) -> str:
    """One sentence: style, mood, key, tempo, bass, drums and the rest."""
    style = arrangement.style
    mood, bass, drums = (str(rng.choice(words)) for words in (style.moods, style.bass_words, style.drum_words))
    rest = _listed(instruments(arrangement, lead)[:3])
    key, tempo = arrangement.key.name, arrangement.tempo
    sentences = (
        f"{_article(mood)} {mood} {style.noun} in {key} at {tempo} bpm with {bass}, {drums} and {rest}",
        f"{mood.capitalize()} {style.noun} at {tempo} bpm in {key}: {bass}, {drums}, {rest}",
        f"{_article(tempo_word(tempo))} {tempo_word(tempo)}, {mood} {style.noun} in {key}, {tempo} bpm, "
        f"featuring {bass} and {drums} under {rest}",
    )
    return sentences[int(rng.integers(len(sentences)))]


def label(arrangement: Arrangement, lead: str, *, singing_said: bool, rng: np.random.Generator) -> list[str]:
    """Tags: style, tempo word, mood, mode and instruments; ``vocals`` only where ``singing_said``."""
    style = arrangement.style
    tags = [*style.tags, tempo_word(arrangement.tempo), str(rng.choice(style.moods)), arrangement.key.mode, "drums"]
    tags += instruments(arrangement, lead)
    if singing_said:
        tags.append(str(rng.choice(_SINGING)))
    return list(dict.fromkeys(tags))


def title(rng: np.random.Generator) -> str:
    """A song title; some have accents and spaces, as in any real folder."""
    return f"{rng.choice(_PLACES)} {rng.choice(_THINGS)}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _article(word: str) -> str:
    return "An" if word[0] in "aeiou" else "A"
