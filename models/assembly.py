"""A whole model: language model, one codec a stem, and (where there is one) the separator. Audio in, audio out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.audio import Audio
from models.codec.codec import StemCodec
from models.editing import edit_frames, prompt_columns
from models.errors import StemsError
from models.lm.generation import Grid, fill
from models.lm.language_model import StemLM
from models.lm.sampling import Sampling
from models.lm.windows import slide
from models.separation import Separator
from models.song import Song
from models.stems import StemLayout

Progress = Callable[[float], None]
MAX_SECONDS = 600.0
ABOUT = "assembly.json"


class Assembly:
    """The parts that turn prompts and songs into songs.

    On disk: ``assembly.json``, ``lm/``, ``codecs/<stem>/`` and, where it has one, ``separator/``.
    """

    def __init__(
        self, lm: StemLM, codecs: dict[str, StemCodec], separator: Separator | None, max_seconds: float = MAX_SECONDS
    ) -> None:
        _check_codecs(lm, codecs)
        self.lm, self.codecs, self.separator, self.max_seconds = lm, codecs, separator, max_seconds

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> Assembly:
        """Load a directory written by :func:`~models.assembling.assemble`; StemsError names what is missing."""
        directory = Path(directory)
        about = _read_about(directory)
        lm = StemLM.load(directory / "lm", device)
        codecs = {name: StemCodec.load(directory / "codecs" / name, device) for name in lm.layout.names}
        separator = Separator.load(directory / "separator", device) if (directory / "separator").is_dir() else None
        return cls(lm, codecs, separator, float(about.get("max_seconds", MAX_SECONDS)))

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

    def generate(self, prompt: str, seconds: float, sampling: Sampling, progress: Progress | None = None) -> Song:
        """Write a song from text; past the training window, each window continues the one before."""
        frames = self._frames(seconds)
        nothing = torch.zeros(self.layout.streams, dtype=torch.bool)
        blank = Grid.blank(self.layout.streams, frames)
        sampling = replace(sampling, seed=sampling.seeded())
        codes = self._write(blank, nothing, prompt, sampling, self.lm.config.segment_frames, progress, edit=False)
        stems = {name: self._decode(name, codes) for name in self.layout.names}
        return self._song(codes, stems, sampling, prompt)

    def edit(
        self,
        given: Mapping[str, Audio],
        regenerate: Collection[str] = (),
        prompt: str = "",
        sampling: Sampling | None = None,
        exact: bool = True,
        silent: Collection[str] = (),
        progress: Progress | None = None,
    ) -> Song:
        """Write the missing or unwanted stems of a song so that they fit the rest.

        Args:
            given: the stems there are, any rate and channels.
            regenerate: given stems to write anew; what they were is hidden from the model.
            prompt: what the result should sound like, or nothing.
            sampling: sampling parameters.
            exact: keep the other given stems as they are; otherwise they too are rewritten, as a variation.
            silent: stems that are to stay silent. Stems neither given nor silent are written.
            progress: called with the share done.

        Raises:
            StemsError: for unknown stems, contradictions, nothing to do, or audio too short or too long.
        """
        wanted = self._wanted(given, regenerate, silent)
        sampling = replace(sampling or Sampling(), seed=(sampling or Sampling()).seeded())
        kept = self._known_stems({name: audio for name, audio in given.items() if name not in wanted}, given, silent)
        grid = self._encode(kept)
        masked = torch.tensor(self.layout.stream_mask(wanted))
        if not exact:
            grid = replace(grid, known=torch.zeros_like(grid.known))
        longest = edit_frames(self.lm.config.segment_frames)
        codes = self._write(grid, masked, prompt, sampling, longest, progress, edit=True)
        samples = max(len(stem) for stem in kept.values())
        stems = {
            name: kept[name] if exact and name in kept else self._decode(name, codes)[:samples]
            for name in self.layout.names
        }
        return self._song(codes, stems, sampling, prompt)

    def separate(self, song: Audio) -> dict[str, Audio]:
        """The stems of a mixed song, mono, at the codecs' rate."""
        if self.separator is None:
            raise StemsError("This model has no separator.", "Give the stems one by one.", field="song")
        [sources] = self.separator.separate([song.stereo().resample(self.separator.sample_rate).samples])
        if lost := [name for name in self.layout.names if name not in sources]:
            raise StemsError(
                f"The separator does not give {', '.join(lost)}.", "Give those stems as files.", field="song"
            )
        rate = self.separator.sample_rate
        return {name: Audio(sources[name], rate).mono().resample(self.sample_rate) for name in self.layout.names}

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

    def _wanted(self, given: Mapping[str, Audio], regenerate: Collection[str], silent: Collection[str]) -> set[str]:
        for names, field in ((given, "stems"), (regenerate, "regenerate"), (silent, "silent")):
            self.layout.check_names(names, field)
        both = sorted(set(silent) & (set(given) | set(regenerate)))
        if both:
            raise StemsError(f"'{both[0]}' cannot be silent and also given or wanted.", "Choose one.", field="silent")
        wanted = (set(self.layout.names) - set(given) - set(silent)) | set(regenerate)
        if not wanted:
            raise StemsError(
                "There is nothing to write: every stem is kept.", "Name a stem to regenerate.", field="regenerate"
            )
        if not set(given) - wanted:
            raise StemsError(
                "No stem is left to fit the new ones to.",
                "Keep at least one, or generate a song.",
                field="regenerate",
            )
        return wanted

    def _known_stems(
        self, kept: Mapping[str, Audio], given: Mapping[str, Audio], silent: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Mono samples of kept and silent stems, as long as the longest given one."""
        mono = {name: audio.mono().resample(self.sample_rate).samples[0] for name, audio in kept.items()}
        seconds = max(audio.seconds for audio in given.values())
        self._frames(seconds)
        samples = max(1, round(seconds * self.sample_rate))
        for name in silent:
            mono[name] = np.zeros(0, dtype=np.float32)
        return {name: np.pad(stem[:samples], (0, max(0, samples - len(stem)))) for name, stem in mono.items()}

    def _encode(self, kept: Mapping[str, np.ndarray]) -> Grid:
        parts = {name: self.encode_stem(name, stem) for name, stem in kept.items()}
        frames = min(codes.shape[1] for codes in parts.values())
        grid = Grid.blank(self.layout.streams, frames)
        for name, codes in parts.items():
            grid.codes[self.layout.slice(name)] = codes[:, :frames].cpu()
            grid.known[self.layout.slice(name)] = True
        return grid

    def _write(
        self,
        grid: Grid,
        masked: Tensor,
        prompt: str,
        sampling: Sampling,
        longest: int,
        progress: Progress | None,
        *,
        edit: bool,
    ) -> Tensor:
        """Fill a song's grid window by window; an edit's windows each have a prefix of their own."""
        codes, known = grid.codes.clone(), grid.known.clone()
        [condition] = self.lm.conditions([prompt])
        windows = slide(codes.shape[1], longest)
        for index, window in enumerate(windows):
            part = slice(window.start, window.end)
            known[:, window.start : window.known_until] = True
            cut = Grid(codes[:, part], known[:, part])
            lead = 0
            if edit:
                shown = prompt_columns(grid.codes[:, part], masked, self.lm.special)
                cut, lead = cut.after(shown), shown.shape[1]
            seeded = replace(sampling, seed=((sampling.seed or 0) + index) % 2**63)
            report = _share(progress, index, len(windows))
            [filled] = fill(self.lm.transformer, [cut], [condition], [seeded], self.layout.delays, report)
            codes[:, part] = filled[:, lead:]
        return codes

    def _decode(self, name: str, codes: Tensor) -> np.ndarray:
        return self.codecs[name].decode_song(codes[self.layout.slice(name)]).cpu().numpy()

    def _song(self, codes: Tensor, stems: dict[str, np.ndarray], sampling: Sampling, prompt: str) -> Song:
        return Song(codes.numpy().astype(np.int16), stems, self.sample_rate, self.layout, sampling.seeded(), prompt)


def _share(progress: Progress | None, index: int, count: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done: progress((index + done) / count)


def write_about(directory: Path, max_seconds: float) -> None:
    """Write the file that makes a directory a model."""
    about = {"format": 1, "max_seconds": max_seconds}
    (directory / ABOUT).write_text(json.dumps(about, indent=2) + "\n")


def _read_about(directory: Path) -> dict[str, Any]:
    file = directory / ABOUT
    if not file.is_file():
        raise StemsError(
            f"'{directory}' is not a model: it has no assembly.json.",
            "Give a model directory, such as runs/demo/model after `stems demo`.",
            code="missing",
            field="model",
        )
    about: dict[str, Any] = json.loads(file.read_text())
    return about


def _check_codecs(lm: StemLM, codecs: Mapping[str, StemCodec]) -> None:
    for stem in lm.layout.stems:
        codec = codecs.get(stem.name)
        if codec is None or codec.codebooks != stem.codebooks or codec.cardinality != lm.config.cardinality:
            found = "none" if codec is None else f"{codec.codebooks} codebooks of {codec.cardinality} codes"
            raise StemsError(
                f"The codec of '{stem.name}' does not fit the language model: {found}.",
                f"It needs {stem.codebooks} codebooks of {lm.config.cardinality} codes.",
                field="codecs",
            )
        trained = lm.config.codecs.get(stem.name)
        if trained and trained != codec.digest:
            raise StemsError(
                f"The codec of '{stem.name}' ({codec.digest}) is not the one the language model learned ({trained}).",
                "Use that codec, or train the language model on a table made with this one.",
                field="codecs",
            )
