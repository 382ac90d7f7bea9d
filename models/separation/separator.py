"""The separator of jobs, services and assemblies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.audio.files import Audio
from models.errors import StemsError, not_finite
from models.separation.demucs_release import load_released, load_repository
from models.separation.directory import CONFIG, load_separator_directory, stored_threshold
from models.separation.ensemble import Ensemble, Precision
from models.separation.overlap_add import CrossFade, Level, SegmentWindow, run_windows, windows
from models.separation.probe import Probe, Stretch, stretches
from models.separation.vocals import (
    DEFAULT_THRESHOLD,
    VOCALS,
    Energies,
    block_energies,
    block_levels,
    block_samples,
    song_score,
    vocal_score,
    vocal_shares,
)

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs

PROCEDURE = 2
"""Version of the separation procedure, which is part of a separator's id in stored results.

1 added the song's mean to each source; 2 adds it to none."""

Wave = Float[np.ndarray, "2 _"]


class Separator:
    """Separates songs with one Demucs, or with a weighted bag of them, many songs per batch.

    Args:
        networks: one network, or several of one kind.
        weights: each network's weight per source, in any unit; None: equal weights.
        device: the device that computes.
        vocal_threshold: see below.
        batch: see below.
        precision: None: float32 on a CPU, otherwise bfloat16 or, on older GPUs, float16.

    Attributes:
        sources: names of the stems, in the network's order.
        sample_rate: the rate of songs and stems in Hz (44,100 for every released network).
        vocal_threshold: the vocal score above which a song counts as sung: measured in training, else 0.045.
        batch: segments per network call: 16, but one on a CPU. There larger batches take memory and hardly less time,
            and with one segment a song's bits do not depend on other songs.
    """

    def __init__(
        self,
        networks: Sequence[HTDemucs],
        weights: Sequence[Sequence[float]] | None = None,
        *,
        device: str = "cpu",
        vocal_threshold: float = DEFAULT_THRESHOLD,
        batch: int | None = None,
        precision: Precision | None = None,
    ) -> None:
        first = networks[0]
        if any(n.segment != first.segment or n.samplerate != first.samplerate for n in networks):
            raise StemsError(
                "The networks of this separator differ in segment length or sample rate.",
                "Use networks of one kind, or one of them alone.",
                code="unsupported",
                field="separator",
            )
        self.sources: tuple[str, ...] = tuple(first.sources)
        self.sample_rate = int(first.samplerate)
        self.vocal_threshold = vocal_threshold
        self._segment = int(first.samplerate * first.segment)
        self.batch = batch or (1 if torch.device(device).type == "cpu" else 16)
        rows = weights if weights is not None else [[1.0] * len(self.sources)] * len(networks)
        self._networks = Ensemble(networks, rows, torch.device(device), precision)

    @classmethod
    def load(cls, name_or_directory: str | Path, device: str = "cpu") -> Separator:
        """Open a directory that `save_separator` wrote, a local demucs repository, or a released name.

        Bags of networks are applied as in demucs: the networks' outputs, weighted per source.

        Raises:
            StemsError: it is missing, damaged, or (for released names) cannot be downloaded.
        """
        path = Path(name_or_directory)
        if (path / CONFIG).exists():
            network, config = load_separator_directory(path)
            return cls([network], device=device, vocal_threshold=stored_threshold(config) or DEFAULT_THRESHOLD)
        networks, weights = load_repository(path) if path.exists() else load_released(str(name_or_directory))
        return cls(networks, weights, device=device)

    @property
    def segment_seconds(self) -> float:
        """Seconds of audio per network input."""
        return self._segment / self.sample_rate

    def listen(self, songs: Sequence[np.ndarray], enough: float = 1.0) -> list[Probe]:
        """Probe songs for vocals by computing a few of the windows of :meth:`separate`.

        See :mod:`models.separation.probe`. A probe holds the separated windows in memory.

        Args:
            songs: stereo float32 at `sample_rate`.
            enough: a song whose score exceeds this after every other stretch is not probed further.

        Raises:
            StemsError: this separator has no source for vocals.
        """
        if VOCALS not in self.sources:
            raise self._no_vocals()
        waves = [_as_tensor(song) for song in songs]
        block = block_samples(self.sample_rate)
        mixes = [block_energies(wave.numpy(), block) for wave in waves]
        plans = [stretches(self._plan(k, wave), mixes[k], block, self.sample_rate) for k, wave in enumerate(waves)]
        heard: list[dict[int, Tensor]] = [{} for _ in waves]
        shares = [np.zeros(len(mix)) for mix in mixes]
        for turn in (slice(0, None, 2), slice(1, None, 2)):
            now = {k: plan[turn] for k, plan in enumerate(plans) if song_score(shares[k]) <= enough}
            todo = (window for plan in now.values() for stretch in plan for window in stretch.windows)
            outputs = self._outputs(waves, todo)
            for k, plan in now.items():
                level, levels = Level.of(waves[k]), block_levels(mixes[k])
                for stretch in plan:
                    found = {window.start: next(outputs) for window in stretch.windows}
                    here = slice(stretch.blocks.start, stretch.blocks.stop)
                    shares[k][here] = self._shares(stretch, found, level, levels[here])
                    heard[k] |= found
        return [Probe(song_score(known), of) for known, of in zip(shares, heard, strict=True)]

    def vocal_score(self, songs: Sequence[np.ndarray]) -> list[float]:
        """The vocal score of each whole song, see :func:`models.separation.vocals.vocal_score`.

        Songs are separated in turn, and their stems dropped.

        Raises:
            StemsError: this separator has no source for vocals.
        """
        if VOCALS not in self.sources:
            raise self._no_vocals()
        return [vocal_score(song, self.separate([song])[0], self.sample_rate) for song in songs]

    def separate(
        self, songs: Sequence[np.ndarray], probes: Sequence[Probe | None] | None = None
    ) -> list[dict[str, Wave]]:
        """Separate songs: stereo float32 at `sample_rate` in, for each song one such waveform per source out.

        A song's offset, the mean of each channel, is in none of its sources. Segments of all songs share batches;
        with several segments per batch, other songs in it change only the rounding of a song's last bits. A song's
        result needs `len(sources)` times its own memory.

        Args:
            songs: the songs to separate.
            probes: results of :meth:`listen` for the same songs; they only save time.
        """
        waves = [_as_tensor(song) for song in songs]
        plans = [self._plan(k, wave) for k, wave in enumerate(waves)]
        heard = [probe.heard if probe else {} for probe in probes or [None] * len(waves)]
        todo = (w for plan, known in zip(plans, heard, strict=True) for w in plan if w.start not in known)
        outputs = self._outputs(waves, todo)
        return [
            self._assemble(wave, plan, known, outputs) for wave, plan, known in zip(waves, plans, heard, strict=True)
        ]

    def stems(self, song: Audio, names: Sequence[str], rate: int) -> dict[str, Audio]:
        """The named stems of a mixed song of any rate and channels, mono, at `rate` Hz."""
        return {name: stem.mono().resample(rate) for name, stem in self.stereo_stems(song, names).items()}

    def stereo_stems(self, song: Audio, names: Sequence[str]) -> dict[str, Audio]:
        """The same in stereo, at `sample_rate`."""
        if lost := [name for name in names if name not in self.sources]:
            raise StemsError(f"The separator has no {', '.join(lost)}.", "Give those stems as files.", field="song")
        [waves] = self.separate([song.stereo().resample(self.sample_rate).samples])
        return {name: Audio(waves[name], self.sample_rate) for name in names}

    def _plan(self, song: int, wave: Tensor) -> list[SegmentWindow]:
        return windows(song, wave.shape[-1], self._segment)

    def _outputs(self, waves: list[Tensor], todo: Iterable[SegmentWindow]) -> Iterator[Tensor]:
        return run_windows(self._networks.start, waves, [Level.of(wave) for wave in waves], todo, self.batch)

    def _shares(self, stretch: Stretch, heard: Mapping[int, Tensor], level: Level, levels: Energies) -> Energies:
        """The vocal shares of a stretch's blocks, given their levels."""
        block, begin = block_samples(self.sample_rate), stretch.windows[0].start
        separated = self._fade(stretch.windows, heard, iter(()), level)
        complete = separated[..., stretch.blocks.start * block - begin : stretch.blocks.stop * block - begin]
        energies = [block_energies(source, block) for source in complete]
        return vocal_shares(energies[self.sources.index(VOCALS)], np.sum(energies, axis=0), levels)

    def _assemble(
        self, wave: Tensor, plan: Sequence[SegmentWindow], heard: Mapping[int, Tensor], outputs: Iterator[Tensor]
    ) -> dict[str, Wave]:
        separated = self._fade(plan, heard, outputs, Level.of(wave))
        if not np.isfinite(separated).all():
            raise not_finite("separator")
        return dict(zip(self.sources, separated, strict=True))

    def _fade(
        self, plan: Sequence[SegmentWindow], heard: Mapping[int, Tensor], outputs: Iterator[Tensor], level: Level
    ) -> Float[np.ndarray, "sources channels _"]:
        """Cross-fade windows to one sound; outputs missing from `heard` come from `outputs`."""
        begin, last = plan[0].start, plan[-1]
        channels = len(level.offset)
        fade = CrossFade(len(self.sources), channels, last.start + last.length - begin, last.segment)
        for window in plan:
            output = heard[window.start] if window.start in heard else next(outputs)
            fade.add(replace(window, start=window.start - begin), output)
        return fade.finish(level).numpy()

    def _no_vocals(self) -> StemsError:
        return StemsError(
            f"This separator cannot score vocals: its sources are {', '.join(self.sources)}.",
            f"Use a separator with the source '{VOCALS}', such as htdemucs.",
            code="no_vocals",
            field="separator",
        )


def _as_tensor(song: np.ndarray) -> Float[Tensor, "2 _"]:
    if song.ndim != 2 or song.shape[0] != 2 or song.shape[1] == 0:
        raise StemsError(
            f"A song to separate has the shape {song.shape}.",
            "Pass stereo, [2, samples].",
            code="empty",
            field="song",
        )
    return torch.from_numpy(np.ascontiguousarray(song, dtype=np.float32))
