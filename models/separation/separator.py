"""The separator that jobs, services and assemblies use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.errors import StemsError
from models.separation.directory import CONFIG, load_separator_directory
from models.separation.overlap_add import CrossFade, Level, Window, run_windows, windows
from models.separation.released import load_released, load_repository
from models.separation.vocals import DEFAULT_THRESHOLD, VOCALS, Heard, probe_windows, song_score

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs

Wave = Float[np.ndarray, "2 _"]


class Separator:
    """Takes songs apart with one Demucs, or with a weighted bag of them, many songs to a batch.

    Attributes:
        sources: names of the stems, in the network's order.
        sample_rate: the rate of songs and stems in Hz (44,100 for every released network).
        vocal_threshold: the vocal score above which a song counts as sung: measured in training, else 0.05.
        batch: segments that go through the network at once: 4 on a CPU, whose caches are small, else 16.
    """

    def __init__(
        self,
        networks: Sequence[HTDemucs],
        weights: Sequence[Sequence[float]] | None = None,
        *,
        device: str = "cpu",
        vocal_threshold: float = DEFAULT_THRESHOLD,
        batch: int | None = None,
    ) -> None:
        first = networks[0]
        if any(n.segment != first.segment or n.samplerate != first.samplerate for n in networks):
            raise StemsError(
                "The networks of this separator differ in segment or sample rate.",
                "Use networks of one kind, or one of them alone.",
                code="unsupported",
                field="separator",
            )
        self.sources: tuple[str, ...] = tuple(first.sources)
        self.sample_rate = int(first.samplerate)
        self.vocal_threshold = vocal_threshold
        self.device = torch.device(device)
        self.batch = batch or (4 if self.device.type == "cpu" else 16)
        self._segment = int(first.samplerate * first.segment)
        self._networks = [network.to(self.device).eval() for network in networks]
        rows = torch.tensor(weights if weights is not None else [[1.0] * len(self.sources)] * len(networks))
        self._weights = (rows / rows.sum(0))[:, :, None, None].to(self.device)

    @classmethod
    def load(cls, name_or_directory: str | Path, device: str = "cpu") -> Separator:
        """Open a directory that `save_separator` wrote, a local demucs repository, or a released name.

        Bags of networks are applied as demucs does: each network's outputs, weighted by source.

        Raises:
            StemsError: there is none, it is damaged, or (released names) it cannot be fetched.
        """
        path = Path(name_or_directory)
        if (path / CONFIG).exists():
            network, config = load_separator_directory(path)
            threshold = float(config.get("vocal_threshold", DEFAULT_THRESHOLD))
            return cls([network], device=device, vocal_threshold=threshold)
        networks, weights = load_repository(path) if path.exists() else load_released(str(name_or_directory))
        return cls(networks, weights, device=device)

    @property
    def segment_seconds(self) -> float:
        """Seconds of audio that the network hears at once."""
        return self._segment / self.sample_rate

    def separate(self, songs: Sequence[np.ndarray]) -> list[dict[str, Wave]]:
        """Take songs apart: stereo float32 at `sample_rate` in, for each song one such wave a source out.

        Segments of all songs share batches, and a result does not depend on the songs beside it beyond
        rounding. A song's result needs `len(sources)` times its own memory.
        """
        waves = [_as_tensor(song) for song in songs]
        levels = [Level.of(wave) for wave in waves]
        plans = [windows(k, wave.shape[-1], self._segment) for k, wave in enumerate(waves)]
        outputs = run_windows(self._apply, waves, levels, chain.from_iterable(plans), self.batch)
        return [
            self._assemble(wave, level, islice(outputs, len(plan)))
            for wave, level, plan in zip(waves, levels, plans, strict=True)
        ]

    def _assemble(self, wave: Tensor, level: Level, outputs: Iterable[tuple[Window, Tensor]]) -> dict[str, Wave]:
        fade = CrossFade(len(self.sources), wave.shape[0], wave.shape[1], self._segment)
        for window, output in outputs:
            fade.add(window, output)
        return dict(zip(self.sources, fade.finish(level).numpy(), strict=True))

    def vocal_score(self, songs: Sequence[np.ndarray]) -> list[float]:
        """How vocal each song is, from 0 to 1, heard on a few excerpts of it.

        Excerpts of one segment are spread over the song, about 24 s in all, each the loudest of its part of
        the song. The score is the vocal share of energy in the most vocal half of them; silence scores 0.

        Raises:
            StemsError: this separator has no vocals.
        """
        if VOCALS not in self.sources:
            raise StemsError(
                f"This separator cannot score singing: its sources are {', '.join(self.sources)}.",
                f"Use one with the source '{VOCALS}', such as htdemucs.",
                code="no_vocals",
                field="separator",
            )
        index = self.sources.index(VOCALS)
        waves = [_as_tensor(song) for song in songs]
        levels = [Level.of(wave) for wave in waves]
        plan = [w for k, wave in enumerate(waves) for w in probe_windows(k, wave, self._segment, self.sample_rate)]
        excerpts: list[list[Heard]] = [[] for _ in waves]
        for window, output in run_windows(self._apply, waves, levels, plan, self.batch):
            excerpts[window.song].append(Heard.of(output, index))
        return [song_score(heard) for heard in excerpts]

    def _apply(
        self, inputs: Float[Tensor, "batch channels segment"]
    ) -> Float[Tensor, "batch sources channels segment"]:
        inputs = inputs.to(self.device)
        outputs = sum(w * network(inputs) for network, w in zip(self._networks, self._weights, strict=True))
        return torch.as_tensor(outputs).cpu()


def _as_tensor(song: np.ndarray) -> Float[Tensor, "2 _"]:
    if song.ndim != 2 or song.shape[0] != 2 or song.shape[1] == 0:
        raise StemsError(
            f"A song to separate has the shape {song.shape}.",
            "Pass stereo, [2, samples].",
            code="empty",
            field="song",
        )
    return torch.from_numpy(np.ascontiguousarray(song, dtype=np.float32))
