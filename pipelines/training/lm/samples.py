"""Audio samples of a language model in training: songs from text, and an edit of a validation song."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.audio.files import Audio, safe_gain, write_audio
from models.codec.codec import StemCodec
from models.lm.edit_sequence import edit_frames
from models.lm.engine.request import Request
from models.lm.grid import Grid
from models.lm.language_model import StemLM
from models.lm.sampling import Sampling
from pipelines.training.lm.prompts import plain_prompt
from pipelines.training.lm.song_table import TrainingSong


class Listener:
    """Writes a language model's samples into one directory.

    Args:
        lm: the language model, in eval mode.
        codecs: one per stem, on the same device.
        seconds: length of each sample; at most that of a training example.
        seed: seed of the sampling.
        directory: folder of the files.
    """

    def __init__(
        self, lm: StemLM, codecs: Mapping[str, StemCodec], seconds: float, seed: int, directory: Path
    ) -> None:
        self.lm, self.codecs, self.seed, self.directory = lm, codecs, seed, directory
        self.frames = max(1, round(seconds * lm.config.frame_rate))

    def write_songs(self, prompts: Sequence[str]) -> None:
        """Write ``<n>-<stem>.wav`` and ``<n>-mix.wav`` for each prompt, and the prompts in ``prompts.txt``."""
        blank = Grid.blank(self.lm.layout.streams, min(self.frames, self.lm.config.segment_frames))
        songs = self._filled([blank] * len(prompts), prompts)
        for number, codes in enumerate(songs, start=1):
            self._write(str(number), codes)
        lines = [f"{number}. {prompt}\n" for number, prompt in enumerate(prompts, start=1)]
        (self.directory / "prompts.txt").write_text("".join(lines), encoding="utf-8")

    def write_edit(self, song: TrainingSong) -> None:
        """Regenerate a song's first stem to ``edit-<stem>.wav`` and ``edit-mix.wav``, beside ``original-…``.

        Both are decoded by the codecs, so that all differences come from the language model.
        """
        frames = min(self.frames, edit_frames(self.lm.config.segment_frames))
        codes = torch.from_numpy(song.codes[:, :frames].astype(np.int64))
        hidden = torch.zeros(codes.shape, dtype=torch.bool)
        hidden[self.lm.layout.slice(self.lm.layout.names[0])] = True
        [edited] = self._filled([Grid(codes, ~hidden)], [plain_prompt(song.caption, song.tags)], hidden)
        self._write("original", codes)
        self._write("edit", edited)

    def _filled(self, grids: Sequence[Grid], prompts: Sequence[str], hidden: Tensor | None = None) -> list[Tensor]:
        requests = [
            Request(grid, condition, Sampling(seed=self.seed + number), hidden)
            for number, (grid, condition) in enumerate(zip(grids, self.lm.conditions(prompts), strict=True))
        ]
        return self.lm.engine(slots=len(requests)).run(requests)

    def _write(self, name: str, codes: Tensor) -> None:
        """Decode one song's codes, scaled as a whole where it would clip."""
        device, layout = self.lm.transformer.heads.weight.device, self.lm.layout
        stems = {
            stem: self.codecs[stem].decode_song(codes[layout.slice(stem)].to(device)).cpu().numpy()
            for stem in layout.names
        }
        sounds = stems | {"mix": np.stack(list(stems.values())).sum(axis=0)}
        gain, rate = safe_gain(*sounds.values()), self.codecs[layout.names[0]].sample_rate
        for part, samples in sounds.items():
            write_audio(self.directory / f"{name}-{part}.wav", Audio(gain * samples[None], rate))
