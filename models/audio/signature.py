"""An acoustic signature of a song: two files of one recording have similar signatures, two recordings do not.

Spectrogram peaks form pairs (frequency, frequency, time between), as in A. Wang, "An industrial-strength audio search
algorithm", ISMIR 2003. The set of pairs survives encoders, rates, gain, cuts and fades. MinHash (A. Broder, 1997;
some bits of each minimum, P. Li and C. König, "b-bit minwise hashing", 2010) reduces it to a few hundred slots in
which two songs agree as often as their sets do. A slot also stores the time of its pair's first occurrence: songs
that merely share notes and drums agree at many time offsets, copies of one recording agree at one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
import scipy.ndimage

from models.audio.files import Audio

SLOTS = 256
"""Slots per signature, four bytes each."""

NEAR = 0.15
"""Songs with at least this similarity are one recording.

Of 1,035 pairs of rendered songs, many of one style, tempo and key, the most similar reach 0.03; songs over the same
drum loop 0.07; a song played again by the same instruments 0.08. MP3 and OGG of 60 kbit/s and more, cuts by a fifth,
fades and limiting leave at least 0.26; MP3 of 24 kbit/s and clipping by 12 dB leave 0.17.
"""

EMPTY = b""
"""The signature of silence and of sounds too short or too plain to distinguish. It is similar to nothing."""

_RATE = 8000  # Hz: the poorest files still hold this band
_WINDOW, _HOP = 2048, 128  # samples: 256 ms and 16 ms
_LOW, _HIGH = 32, 880  # bins, 125 to 3437 Hz
_REACH = (12, 20)  # frames, bins: a peak is the highest within this distance
_FLOOR = 1e-3  # of the song's highest magnitude; weaker peaks do not survive an encoder
_SILENCE = 1e-3  # a magnitude; full scale is 512
_PAIR_FRAMES, _PAIR_BINS = (4, 64), 120  # how far apart the peaks of a pair may be
_QUANTUM = 4  # frames and bins: smaller shifts leave a pair unchanged
_FEWEST = 256  # pairs
_BLOCK = 2048  # frames per block, which bounds memory
_ALIGNED = 3  # frames: tolerance of the common time offset of one recording's slots
_APART = 2**20  # frames, beyond any time offset
_TIME_BITS = 32

# Odd, so that multiplying by one is a permutation of the 64-bit numbers.
_PERMUTATIONS = np.random.Generator(np.random.PCG64(2003)).integers(0, 2**63, SLOTS, np.uint64) * 2 + 1


def signature(audio: Audio) -> bytes:
    """The signature of a song: ``4 * SLOTS`` bytes, or :data:`EMPTY`.

    Args:
        audio: a whole song, at any rate and with any number of channels.
    """
    pairs, times = _pairs(*_peaks(audio.mono().resample(_RATE).samples[0]))
    if len(pairs) < _FEWEST:
        return EMPTY
    mixed = _mix(pairs)
    smallest = np.array([np.argmin(mixed * permutation) for permutation in _PERMUTATIONS])
    # Times wrap around after 17 minutes; only differences count.
    return np.stack([values[smallest].astype("<u2") for values in (mixed, times)]).tobytes()


def similarity(a: bytes, b: bytes) -> float:
    """Share of two songs that is the same sound at one time offset: 0 to 1, see :data:`NEAR`."""
    if EMPTY in (a, b):
        return 0.0
    distances = _distances(slots([a]), slots([b]))[0]
    distances = distances[distances < _APART]
    aligned = np.searchsorted(distances, distances + _ALIGNED, side="right") - np.arange(len(distances))
    return int(aligned.max(initial=0)) / SLOTS


def slots(signatures: list[bytes]) -> np.ndarray:
    """Signatures, none of them empty, as uint16 ``[songs, 2, SLOTS]``: values, and times in frames of 16 ms."""
    return np.frombuffer(b"".join(signatures), "<u2").reshape(-1, 2, SLOTS)


def near(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which songs are near: bool ``[pairs]`` of the slots of both, each uint16 ``[pairs, 2, SLOTS]``.

    The same as ``similarity >= NEAR``, for many pairs together.
    """
    needed = int(np.ceil(NEAR * SLOTS))
    likely = np.flatnonzero((a[:, 0] == b[:, 0]).sum(axis=1) >= needed)
    distances = _distances(a[likely], b[likely])
    result = np.zeros(len(a), bool)
    spread = distances[:, needed - 1 :] - distances[:, : SLOTS - needed + 1]
    result[likely] = (spread <= _ALIGNED).any(axis=1)
    return result


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sorted time offsets of equal slots, int32 ``[pairs, SLOTS]``; unequal slots get offsets far from all others."""
    distances = (a[:, 1] - b[:, 1]).view(np.int16).astype(np.int32)
    nowhere = _APART * np.arange(1, SLOTS + 1, dtype=np.int32)
    return np.sort(np.where(a[:, 0] == b[:, 0], distances, nowhere), axis=1)


def _mix(values: np.ndarray) -> np.ndarray:
    """A bijection of uint64 that removes patterns: the finalizer of SplitMix64."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _pairs(times: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of close peaks, uint64, each once; and the frame of each pair's first occurrence.

    Args:
        times: frames of the peaks, ascending.
        bins: frequency bins of the peaks.
    """
    closest, farthest = _PAIR_FRAMES
    found = [np.zeros(0, np.int64)]
    for step in range(1, len(times)):
        apart = times[step:] - times[:-step]
        if apart.min() > farthest:
            break
        close = (apart >= closest) & (apart <= farthest) & (np.abs(bins[step:] - bins[:-step]) <= _PAIR_BINS)
        pair = _steps(bins[:-step][close]) << 13 | _steps(bins[step:][close]) << 5 | _steps(apart[close])
        found.append(pair << _TIME_BITS | np.rint(times[:-step][close]).astype(np.int64))
    heard = np.sort(np.concatenate(found))
    pairs, first = np.unique(heard >> _TIME_BITS, return_index=True)
    return pairs.astype(np.uint64), heard[first] & (2**_TIME_BITS - 1)


def _steps(values: np.ndarray) -> np.ndarray:
    return np.rint(values / _QUANTUM).astype(np.int64)


def _peaks(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of the spectrogram: fractional frames and bins, ascending by time."""
    blocks = list(_peaks_of_blocks(samples))
    if not blocks:
        return np.zeros(0), np.zeros(0)
    times, bins, levels = (np.concatenate(part) for part in zip(*blocks, strict=True))
    highest = levels.max(initial=0.0)
    kept = levels > (highest * _FLOOR if highest > _SILENCE else np.inf)
    order = np.lexsort((bins[kept], times[kept]))
    return times[kept][order], bins[kept][order]


def _peaks_of_blocks(samples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames, bins and magnitudes of the peaks, a block of the song at a time."""
    if len(samples) < _WINDOW:
        return
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    reach = _REACH[0]
    for start in range(0, len(frames), _BLOCK):
        before = min(start, reach)
        spectrum = scipy.fft.rfft(frames[start - before : start + _BLOCK + reach] * window, axis=1)
        magnitudes = np.abs(spectrum[:, _LOW:_HIGH])
        highest = scipy.ndimage.maximum_filter(magnitudes, [2 * n + 1 for n in _REACH], mode="nearest")
        inner = magnitudes[1:-1, 1:-1]
        # Strictly above the previous neighbour: a plateau is at most one peak.
        peak = (inner == highest[1:-1, 1:-1]) & (inner > magnitudes[:-2, 1:-1]) & (inner > magnitudes[1:-1, :-2])
        t, f = (index + 1 for index in np.nonzero(peak))
        own = (t >= before) & (t < before + _BLOCK)
        t, f = t[own], f[own]
        time = t + _summit(magnitudes[t - 1, f], magnitudes[t, f], magnitudes[t + 1, f])
        bin_ = f + _summit(magnitudes[t, f - 1], magnitudes[t, f], magnitudes[t, f + 1])
        yield time + (start - before), bin_ + _LOW, magnitudes[t, f]


def _summit(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The maximum, between -1/2 and 1/2, of the parabola through three logarithms."""
    left, middle, right = (np.log(np.maximum(values, 1e-9, dtype=np.float64)) for values in (before, at, after))
    bend = left - 2 * middle + right
    return np.clip(0.5 * (left - right) / np.minimum(bend, -1e-9), -0.5, 0.5)
