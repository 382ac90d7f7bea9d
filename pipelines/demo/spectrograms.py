"""Pictures of sound: log-frequency spectrograms as PNG, readable on light and dark pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.audio.files import Audio

_RANGE_DB = 80.0  # below the loudest point
_LOW, _HIGH = 40.0, 16_000.0  # Hz
_BANDS = 192
_COLUMNS = 900
_WINDOW = 4096
_INK = "#8a8a8a"  # legible on white and on black
_MARKS = {50.0: "50", 200.0: "200", 1000.0: "1k", 4000.0: "4k", 12_000.0: "12k"}


def log_spectrogram(audio: Audio) -> np.ndarray:
    """Levels [bands, columns] in dB below the loudest point, clipped at −80; bands from 40 Hz to 16 kHz."""
    mono = audio.mono().samples[0]
    hop = max(256, -(-len(mono) // _COLUMNS))
    padded = np.pad(mono, _WINDOW // 2)
    starts = np.arange(0, len(padded) - _WINDOW + 1, hop)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[starts] * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(frames.astype(np.float32), axis=1)) ** 2
    edges = np.geomspace(_LOW, min(_HIGH, audio.rate / 2), _BANDS + 1) * _WINDOW / audio.rate
    first = np.minimum(edges[:-1].astype(int), power.shape[1] - 1)
    last = np.clip(edges[1:].astype(int), first + 1, power.shape[1])
    bands = np.stack([power[:, a:b].max(axis=1) for a, b in zip(first, last, strict=True)])
    level = 10 * np.log10(np.maximum(bands, 1e-12))
    return np.clip(level - level.max(), -_RANGE_DB, 0.0) if mono.any() else np.full_like(level, -_RANGE_DB)


def write_spectrogram(audio: Audio, path: Path) -> Path:
    """Draw ``audio`` into a PNG at ``path``; frequency upwards, seconds to the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 1.6), dpi=150, facecolor="none")
    axes = figure.add_axes((0.055, 0.16, 0.925, 0.82))
    levels = log_spectrogram(audio)
    high = min(_HIGH, audio.rate / 2)
    axes.imshow(
        levels, origin="lower", aspect="auto", cmap="magma", vmin=-_RANGE_DB, vmax=0.0,
        extent=(0.0, audio.seconds, 0.0, 1.0), interpolation="nearest",
    )  # fmt: skip
    marks = {hertz: text for hertz, text in _MARKS.items() if hertz < high}
    axes.set_yticks([np.log(hertz / _LOW) / np.log(high / _LOW) for hertz in marks], list(marks.values()))
    axes.tick_params(colors=_INK, labelsize=8.5, length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, facecolor="none")
    return path
