"""The demo's song goes on: what follows it, whether it stayed as it was, and how smooth the seam is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.continuation import Continuation
from models.song.draft import FADE
from models.song.song import Song
from models.song.source import Source
from pipelines.composing.folder import write_song
from pipelines.demo.measure import forget_clips, pictured
from pipelines.demo.results import ExtendedSong, ExtendedStem

SECONDS = 4.0
"""Length of the new part."""


def extended_song(song: Song, model: Assembly, folder: Path, seed: int) -> ExtendedSong:
    """Let a song go on into ``folder``, and measure what came out."""
    codes = {name: song.codes[model.layout.slice(name)] for name in song.stems}
    sources = {name: Source(sound, codes[name]) for name, sound in song.sounds.items()}
    longer = model.extend(sources, Continuation(SECONDS), song.prompt, Sampling(seed=seed))
    forget_clips(folder, longer)
    write_song(folder, longer, model.digest)
    stems = tuple(_measured(name, song.stems[name], sound, folder, song.rate) for name, sound in longer.stems.items())
    return ExtendedSong(song.seconds, longer.seconds, pictured("mix", folder / "mix.wav"), stems)


def _measured(name: str, before: np.ndarray, longer: np.ndarray, folder: Path, rate: int) -> ExtendedStem:
    """A stem, and its steps from sample to sample: the largest at the seam, and in half a second on each side."""
    end, half, steps = len(before), rate // 2, np.abs(np.diff(longer))
    seam, after = steps[end - 1 : end + FADE], steps[end + FADE : end + FADE + half]
    around = np.concatenate([steps[max(0, end - 1 - half) : end - 1], after])
    kept = bool(np.array_equal(longer[:end], before))
    return ExtendedStem(name, pictured(name, folder / f"{name}.wav"), kept, float(seam.max()), float(around.max()))
