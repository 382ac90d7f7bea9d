"""A whole model: language model, one codec a stem, and (where there is one) the separator. Audio in, audio out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.audio.files import Audio
from models.codec.codec import StemCodec
from models.device import usable_device
from models.errors import StemsError
from models.files.model_files import read_settings, unreadable
from models.lm.engine.engine import Engine
from models.lm.engine.request import Request
from models.lm.engine.weights import Precision
from models.lm.grid import Grid
from models.lm.language_model import MAX_SECONDS, LMConfig, StemLM
from models.lm.sampling import Sampling
from models.separation import Separator
from models.song.draft import Draft, edit_grid
from models.song.edit import Edit
from models.song.song import Song
from models.song.song_decoder import SongDecoder
from models.stems import StemLayout

Progress = Callable[[float], None]
ABOUT = "assembly.json"
_FORMAT = 1


class Assembly:
    """The parts that turn prompts and songs into songs.

    On disk: ``assembly.json``, ``lm/``, ``codecs/<stem>/`` and, where it has one, ``separator/``.
    """

    def __init__(
        self,
        lm: StemLM,
        codecs: dict[str, StemCodec],
        separator: Separator | None,
        max_seconds: float = MAX_SECONDS,
        precision: Precision | None = None,
    ) -> None:
        check_codecs(lm.config, codecs)
        self.lm, self.codecs, self.separator = lm, codecs, separator
        self.max_seconds, self.precision = max_seconds, precision

    @classmethod
    def load(
        cls, directory: str | Path, device: str = "cpu", precision: Precision | None = None, *, separates: bool = True
    ) -> Assembly:
        """Load a model directory; StemsError names what is missing.

        Args:
            directory: the model.
            device: where it shall run.
            precision: in which the language model decodes; None chooses the fastest that is sound.
            separates: load its separator, too; without, it takes stems only.
        """
        device = str(usable_device(device))
        directory = Path(directory)
        max_seconds = read_max_seconds(directory)
        lm = StemLM.load(directory / "lm", device)
        codecs = {name: StemCodec.load(directory / "codecs" / name, device) for name in lm.layout.names}
        separator = load_separator(directory, device) if separates else None
        return cls(lm, codecs, separator, max_seconds, precision)

    def save(self, directory: Path) -> None:
        """Write the language model and the codecs; a separator is not saved with them."""
        self.lm.save(directory / "lm")
        for name, codec in self.codecs.items():
            codec.save(directory / "codecs" / name)
        write_about(directory, self.max_seconds)

    @property
    def layout(self) -> StemLayout:
        """The stems."""
        return self.lm.layout

    @property
    def sample_rate(self) -> int:
        """Rate of the audio that comes out, in Hz."""
        return self._any_codec.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames of codes a second."""
        return self._any_codec.frame_rate

    @property
    def _any_codec(self) -> StemCodec:
        return next(iter(self.codecs.values()))

    @cached_property
    def digest(self) -> str:
        """A short hash of all parts."""
        parts = [self.lm.digest(), *(self.codecs[name].digest for name in self.layout.names)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]

    @cached_property
    def engine(self) -> Engine:
        """The engine that :meth:`generate` and :meth:`edit` use, one song at a time."""
        return self.lm.engine(precision=self.precision, longest_seconds=self.max_seconds)

    def generate(self, prompt: str, seconds: float, sampling: Sampling, progress: Progress | None = None) -> Song:
        """Write a song from text; past the training window, each window continues the one before."""
        return self._play(self.song_draft(prompt, seconds, sampling), prompt, progress)

    def song_draft(self, prompt: str, seconds: float, sampling: Sampling) -> Draft:
        """A song from text, as the engine is asked for it."""
        [condition] = self.lm.conditions([prompt])
        blank = Grid.blank(self.layout.streams, self._frames(seconds))
        request = Request(blank, condition, replace(sampling, seed=sampling.seeded()))
        return Draft(request, blank.columns * self._any_codec.hop)

    def edit(
        self,
        given: Mapping[str, Audio],
        edit: Edit,
        prompt: str = "",
        sampling: Sampling | None = None,
        progress: Progress | None = None,
    ) -> Song:
        """Write stems of a song so that they fit the rest.

        Args:
            given: the stems there are, any rate and channels.
            edit: what to do.
            prompt: what the result should sound like, or nothing.
            sampling: sampling parameters.
            progress: called with the share done.

        Raises:
            StemsError: for unknown stems, contradictions, nothing to do, or audio too short or too long.
        """
        return self._play(self.edit_draft(given, edit, prompt, sampling or Sampling()), prompt, progress)

    def edit_draft(self, given: Mapping[str, Audio], edit: Edit, prompt: str, sampling: Sampling) -> Draft:
        """An edit as the engine is asked for it, with the sound that stays."""
        edit.check(self.layout, given)
        there = self._known_stems(given, edit.silent)
        whole = edit.wanted(self.layout, given) if edit.region is None else set[str]()
        codes = {name: self.encode_stem(name, stem).cpu() for name, stem in there.items() if name not in whole}
        region = edit.frames(next(iter(codes.values())).shape[1], self.frame_rate)
        grid, hidden = edit_grid(self.layout, codes, edit, region)
        [condition] = self.lm.conditions([prompt])
        request = Request(grid, condition, replace(sampling, seed=sampling.seeded()), hidden)
        sound = {name: there[name] for name in codes}
        changed = (*edit.texture, *edit.regenerate) if edit.exact else set(given) - whole
        hop = self._any_codec.hop
        written = slice(region.start * hop, region.stop * hop)
        return Draft(request, len(next(iter(there.values()))), sound, frozenset(changed), written)

    def separate(self, song: Audio) -> dict[str, Audio]:
        """The stems of a mixed song, mono, at the codecs' rate."""
        if self.separator is None:
            raise StemsError("This model has no separator.", "Give the stems one by one.", field="song")
        return self.separator.stems(song, self.layout.names, self.sample_rate)

    def encode_stem(self, name: str, samples: np.ndarray) -> Tensor:
        """Codes ``[codebooks, frames]`` of one stem's mono samples at :attr:`sample_rate`."""
        return self.codecs[name].encode_song(torch.from_numpy(samples))

    def _frames(self, seconds: float) -> int:
        if not 0 < seconds <= self.max_seconds:  # also refuses NaN
            raise StemsError(
                f"{seconds:g} seconds cannot be made.",
                f"Ask for more than 0 and at most {self.max_seconds:g}.",
                field="seconds",
            )
        return max(1, round(seconds * self.frame_rate))

    def _known_stems(self, given: Mapping[str, Audio], silent: Collection[str]) -> dict[str, np.ndarray]:
        """Mono samples of given and silent stems, as long as the longest."""
        mono = {name: audio.mono().resample(self.sample_rate).samples[0] for name, audio in given.items()}
        seconds = max(audio.seconds for audio in given.values())
        self._frames(seconds)
        samples = max(1, round(seconds * self.sample_rate))
        for name in silent:
            mono[name] = np.zeros(0, dtype=np.float32)
        return {name: np.pad(stem[:samples], (0, max(0, samples - len(stem)))) for name, stem in mono.items()}

    def decoder(self, draft: Draft) -> SongDecoder:
        """What turns the frames of a draft into the sound of its stems."""
        return SongDecoder(self.codecs, self.layout, draft)

    def _play(self, draft: Draft, prompt: str, progress: Progress | None) -> Song:
        decoder, codes, pieces, done = self.decoder(draft), [], [], 0
        with closing(self.engine.generate([draft.request])) as outputs:  # progress may end the work by an error
            for output in outputs:
                codes.append(output.codes)
                pieces.append(decoder.push(output.codes, last=output.done))
                done += output.codes.shape[1]
                if progress is not None:
                    progress(done / draft.request.grid.columns)
        stems = {name: np.concatenate([piece[name] for piece in pieces if piece]) for name in self.layout.names}
        frames, seed = torch.cat(codes, dim=1).numpy().astype(np.int16), draft.request.sampling.seeded()
        return Song(frames, stems, self.sample_rate, self.layout, seed, prompt, self.engine.plan.precision)


def load_separator(directory: Path, device: str = "cpu") -> Separator | None:
    """The separator of a model directory, where there is one."""
    folder = directory / "separator"
    return Separator.load(folder, device) if folder.is_dir() else None


def write_about(directory: Path, max_seconds: float) -> None:
    """Write the file that makes a directory a model."""
    about = {"format": _FORMAT, "max_seconds": max_seconds}
    (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def read_max_seconds(directory: Path) -> float:
    """The longest song of a model, from the file that makes a directory one."""
    file = directory / ABOUT
    if not file.exists() and not file.is_symlink():
        raise StemsError(
            f"'{directory}' is not a model: it has no assembly.json.",
            "Give a model directory, such as runs/demo/model after `stems demo`.",
            code="missing",
            field="model",
        )
    about = read_settings(file, "model")
    if about.get("format", _FORMAT) != _FORMAT:
        raise unreadable(file, f"its format is {about['format']!r}, not {_FORMAT}", "model", "Update this program.")
    seconds = about.get("max_seconds", MAX_SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise unreadable(file, f"max_seconds is {seconds!r}", "model", "Write a number of seconds above 0.")
    return float(seconds)


def check_codecs(config: LMConfig, codecs: Mapping[str, StemCodec]) -> None:
    """Refuse codecs that are not those of a language model; StemsError says which is to be used."""
    for stem in config.layout.stems:
        codec = codecs.get(stem.name)
        if codec is None or codec.codebooks != stem.codebooks or codec.cardinality != config.cardinality:
            found = "none" if codec is None else f"{codec.codebooks} codebooks of {codec.cardinality} codes"
            raise StemsError(
                f"The codec of '{stem.name}' does not fit the language model: {found}.",
                f"It needs {stem.codebooks} codebooks of {config.cardinality} codes.",
                field="codecs",
            )
        trained = config.codecs.get(stem.name)
        if trained and trained != codec.digest:
            raise StemsError(
                f"The codec of '{stem.name}' ({codec.digest}) is not the one the language model learned ({trained}).",
                "Use that codec, or train the language model on a table made with this one.",
                field="codecs",
            )
