"""A whole model: language model, one codec per stem, and optionally the separator. Audio in, audio out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from models.audio.files import Audio
from models.codec.codec import StemCodec
from models.device import usable_device
from models.errors import StemsError
from models.lm.engine.engine import Engine
from models.lm.engine.request import Request
from models.lm.engine.weights import Precision
from models.lm.grid import Grid
from models.lm.language_model import MAX_SECONDS, StemLM
from models.lm.sampling import Sampling
from models.separation import Separator
from models.song.continuation import Continuation
from models.song.draft import Draft, mirrored
from models.song.edit import Edit
from models.song.grids import continuation_grid, edit_grid
from models.song.model_directory import check_codecs, load_separator, read_max_seconds, write_about
from models.song.song import Song
from models.song.song_decoder import SongDecoder
from models.song.source import Source, padded
from models.stems import StemLayout

Progress = Callable[[float], None]


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
        """Frames of codes per second."""
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
        return self.play(self.draft_song(prompt, seconds, sampling), prompt, progress)

    def draft_song(self, prompt: str, seconds: float, sampling: Sampling) -> Draft:
        """A song from text, as the engine is asked for it."""
        blank = Grid.blank(self.layout.streams, self._frames(seconds))
        return Draft(self._request(blank, prompt, sampling), blank.columns * self._any_codec.hop)

    def edit(
        self,
        sources: Mapping[str, Source],
        edit: Edit,
        prompt: str = "",
        sampling: Sampling | None = None,
        progress: Progress | None = None,
    ) -> Song:
        """Write stems of a song so that they fit the rest.

        Args:
            sources: the stems there are.
            edit: what to do.
            prompt: what the result should sound like, or nothing.
            sampling: sampling parameters.
            progress: called with the share done.

        Raises:
            StemsError: for unknown stems, contradictions, nothing to do, or audio too short or too long.
        """
        draft = self.draft_edit(sources, edit, prompt=prompt, sampling=sampling or Sampling())
        return self.play(draft, prompt, progress)

    def draft_edit(self, sources: Mapping[str, Source], edit: Edit, *, prompt: str, sampling: Sampling) -> Draft:
        """An edit as the engine is asked for it, with the sound that stays."""
        edit.check(self.layout, sources)
        there = self._equally_long(sources, edit.silent)
        whole = edit.wanted(self.layout, sources) if edit.region is None else set[str]()
        codes = {
            name: self._codes(name, sound, sources.get(name)) for name, sound in there.items() if name not in whole
        }
        region = edit.frames(next(iter(codes.values())).shape[1], self.frame_rate)
        grid, hidden = edit_grid(self.layout, codes, edit, region)
        sound = {name: there[name] for name in codes}
        changed = (*edit.texture, *edit.regenerate) if edit.exact else set(sources) - whole
        hop = self._any_codec.hop
        written = slice(region.start * hop, region.stop * hop)
        request = self._request(grid, prompt, sampling, hidden)
        return Draft(request, len(next(iter(there.values()))), sound, frozenset(changed), written)

    def extend(
        self,
        sources: Mapping[str, Source],
        continuation: Continuation,
        prompt: str = "",
        sampling: Sampling | None = None,
        progress: Progress | None = None,
    ) -> Song:
        """Let a song go on. What is given stays to the bit, after conversion to mono at the model's rate.

        Args:
            sources: all stems of the model. Those that go on may end at different times: silence follows the shorter
                ones up to the end of the longest.
            continuation: for how long, and in which stems.
            prompt: what the new part should sound like, or nothing.
            sampling: sampling parameters.
            progress: called with the share done.

        Raises:
            StemsError: for unknown or missing stems, or a song that is empty or gets too long.
        """
        draft = self.draft_continuation(sources, continuation, prompt=prompt, sampling=sampling or Sampling())
        return self.play(draft, prompt, progress)

    def draft_continuation(
        self, sources: Mapping[str, Source], continuation: Continuation, *, prompt: str, sampling: Sampling
    ) -> Draft:
        """A continuation as the engine is asked for it, with the sound that stays."""
        continuation.check(self.layout, sources)
        going, mono = continuation.going_on(self.layout), self._mono(sources)
        end = max(len(mono[name]) for name in going)
        if not end:
            raise StemsError("There is nothing to go on from: the song is empty.", "Give its sound.", field="song")
        self._check_longest(end / self.sample_rate + continuation.seconds)
        samples = end + max(1, round(continuation.seconds * self.sample_rate))
        self._check_reach({name: sound for name, sound in mono.items() if name not in going}, samples)
        hop, codes, sound = self._any_codec.hop, dict[str, Tensor](), dict[str, np.ndarray]()
        for name, whole in mono.items():
            # The frame in which a stem ends is written, too: its code would say that the sound stops there.
            length, known = (end, end // hop) if name in going else (samples, -(-samples // hop))
            stem = padded(whole, length)
            codes[name] = self._codes(name, stem, sources[name])[:, :known]
            sound[name] = mirrored(stem, samples)
        grid, hidden = continuation_grid(self.layout, codes, -(-samples // hop))
        request = self._request(grid, prompt, sampling, hidden)
        return Draft(request, samples, sound, frozenset(going), slice(end, samples))

    def _check_longest(self, seconds: float) -> None:
        if seconds > self.max_seconds:
            raise StemsError(
                f"The song would last {seconds:g} s.",
                f"A song and its continuation may last {self.max_seconds:g} s together.",
                code="too_long",
                field="seconds",
            )

    def _check_reach(self, given: Mapping[str, np.ndarray], samples: int) -> None:
        """Refuse stems that are given, and end more than a frame before the song."""
        for name, sound in given.items():
            if len(sound) <= samples - self._any_codec.hop:
                raise StemsError(
                    f"'{name}' ends after {len(sound) / self.sample_rate:.2f} s: a stem that does not go on is given "
                    f"up to the new end, {samples / self.sample_rate:.2f} s.",
                    f"Give all of '{name}', or let it go on, too.",
                    field="regenerate",
                )

    def separate(self, song: Audio, *, mono: bool = True) -> dict[str, Audio]:
        """The stems of a mixed song: mono, at the codecs' rate; or else in stereo, at the separator's."""
        if self.separator is None:
            raise StemsError("This model has no separator.", "Give the stems one by one.", field="song")
        if mono:
            return self.separator.stems(song, self.layout.names, self.sample_rate)
        return self.separator.stereo_stems(song, self.layout.names)

    def encode_stem(self, name: str, samples: np.ndarray) -> Tensor:
        """Codes ``[codebooks, frames]`` of one stem's mono samples at :attr:`sample_rate`."""
        return self.codecs[name].encode_song(torch.from_numpy(samples))

    def _frames(self, seconds: float) -> int:
        if not 0 < seconds <= self.max_seconds:  # also refuses NaN
            raise StemsError(
                f"Cannot generate {seconds:g} s.",
                f"Give a length above 0 and up to {self.max_seconds:g} s.",
                field="seconds",
            )
        return max(1, round(seconds * self.frame_rate))

    def _mono(self, sources: Mapping[str, Source]) -> dict[str, np.ndarray]:
        return {name: source.mono(self.sample_rate) for name, source in sources.items()}

    def _equally_long(self, sources: Mapping[str, Source], silent: Collection[str]) -> dict[str, np.ndarray]:
        """Mono samples of given and silent stems, as long as the longest."""
        seconds = max(source.sound.seconds for source in sources.values())
        self._frames(seconds)
        samples = max(1, round(seconds * self.sample_rate))
        stems = self._mono(sources) | {name: np.zeros(0, dtype=np.float32) for name in silent}
        return {name: padded(stem, samples) for name, stem in stems.items()}

    def _codes(self, name: str, sound: np.ndarray, source: Source | None) -> Tensor:
        """Codes ``[codebooks, frames]`` of a stem's samples: those that are known of them, or their encoding."""
        frames = -(-len(sound) // self._any_codec.hop)
        known = None if source is None else source.known_codes(name, self.codecs[name], frames)
        return self.encode_stem(name, sound).cpu() if known is None else known

    def _request(
        self, grid: Grid, prompt: str, sampling: Sampling, hidden: Bool[Tensor, "streams frames"] | None = None
    ) -> Request:
        [condition] = self.lm.conditions([prompt])
        return Request(grid, condition, replace(sampling, seed=sampling.seeded()), hidden)

    def decoder(self, draft: Draft) -> SongDecoder:
        """What turns the frames of a draft into the sound of its stems."""
        return SongDecoder(self.codecs, self.layout, draft)

    def play(self, draft: Draft, prompt: str = "", progress: Progress | None = None) -> Song:
        """Let the engine write a draft; ``progress`` is called with the share done."""
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
