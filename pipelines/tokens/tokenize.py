"""The second phase, in workers that hold the models: drop songs with vocals, separate, tokenize.

Only compressed bytes come in and tokens go out; samples live and die in the worker. A song that fails is
marked with ``failed:<type>``; the songs beside it go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from models.audio import Audio, loudness
from models.errors import StemsError
from models.separation.quality import residual_db
from models.separation.vocals import vocal_score
from models.stems import StemLayout
from models.storage import NO_ROOM, storage_reason
from pipelines.tokens.identity import check_sources
from pipelines.tokens.inspect import song_id
from pipelines.tokens.limits import Limits
from pipelines.tokens.reasons import BROKEN_STEMS, CHANGED, FAILED, NOT_WRITTEN
from pipelines.tokens.source import decode
from pipelines.tokens.stems_folder import as_stored, read_stem, stems_folder, write_stems
from pipelines.tokens.work import Work

if TYPE_CHECKING:
    from models.codec.codec import StemCodec
    from models.separation import Separator
    from models.separation.separator import Probe


@dataclass(frozen=True)
class Verdict:
    """What the second phase found of a song.

    Args:
        reason: why it is no song, or empty.
        message: the same, in words.
        vocal_score: 0..1, where it was listened for.
        sung: the score is above the threshold.
        frame_rate: frames a second.
        codes: int16 [streams, frames] of the stems that were to be encoded.
        stem_loudness: LUFS of each stem of the layout.
        residual_db: what the stems leave of the mix.
        folder: where the stems were kept, or empty.
        took: seconds by stage.
    """

    reason: str = ""
    message: str = ""
    vocal_score: float | None = None
    sung: bool = False
    frame_rate: float = 0.0
    codes: np.ndarray | None = None
    stem_loudness: tuple[float, ...] = ()
    residual_db: float = 0.0
    folder: str = ""
    took: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def failed(cls, error: Exception) -> Verdict:
        """The verdict on a song that could not be processed; a full disk is no song's fault."""
        if isinstance(error, StemsError):
            return cls(error.code, str(error)[:500])
        full = storage_reason(error) in NO_ROOM
        return cls(NOT_WRITTEN if full else f"{FAILED}{type(error).__name__}", str(error)[:500])


@dataclass(frozen=True)
class TokenizerSettings:
    """What a worker needs to know.

    Args:
        separator: name or directory; empty where all stems are there already.
        codecs: directory of codec directories, one a stem.
        layout: stems in stream order.
        vocal_threshold: score above which a song is dropped.
        limits: what a song may be.
        group_seconds: songs separated together last at most this long, which bounds the memory.
        keep_stems: folder for stems, or empty.
        device: torch device.
        threads: CPU threads; codes are equal to the bit at equal threads.
    """

    separator: str
    codecs: str
    layout: StemLayout
    vocal_threshold: float
    limits: Limits
    group_seconds: float
    keep_stems: str
    device: str
    threads: int


@dataclass(frozen=True)
class SourceSong:
    """A song as it reaches the worker: what is to be done, and its compressed bytes by uri."""

    work: Work
    blobs: Mapping[str, bytes]


@dataclass
class _Case:
    """A song on its way through the worker; done as soon as there is a verdict."""

    song: SourceSong
    verdict: Verdict | None = None
    score: float = 0.0
    probe: Probe | None = None
    mix: Audio | None = None
    stems: dict[str, Audio] = field(default_factory=dict)
    residual: float = 0.0
    folder: str = ""
    took: dict[str, float] = field(default_factory=dict)

    @property
    def work(self) -> Work:
        return self.song.work

    @property
    def wave(self) -> np.ndarray:
        assert self.mix is not None
        return self.mix.samples

    def release(self) -> None:
        """Let go of the samples."""
        self.mix, self.probe, self.stems = None, None, {}


class SongTokenizer:
    """Songs to codes, with a separator (none where all stems are there already) and one codec a stem.

    Raises:
        StemsError: the separator lacks a stem of the layout, or the codecs differ in rate or hop.
    """

    def __init__(
        self, settings: TokenizerSettings, separator: Separator | None, codecs: Mapping[str, StemCodec]
    ) -> None:
        if separator is not None:
            check_sources(separator.sources, settings.layout)
        kinds = {(codec.sample_rate, codec.hop) for codec in codecs.values()}
        if len(kinds) != 1:
            raise StemsError(
                f"The codecs in '{settings.codecs}' differ in sample rate or hop.",
                "Use codecs of one kind.",
                field="codecs",
            )
        self._settings, self._separator, self._codecs = settings, separator, codecs
        [(self._rate, hop)] = kinds
        self._frame_rate = self._rate / hop
        self._steps = (
            _Step("decode", self._decode, lambda case: True),
            _Step("listen", self._listen, lambda case: case.mix is not None and case.work.vocal_score is None),
            _Step("separate", self._separate, lambda case: case.mix is not None),
            _Step("keep", self._keep, lambda case: bool(settings.keep_stems) and not case.work.folder),
            _Step("encode", self._encode, lambda case: True),
        )

    def process(self, songs: Sequence[SourceSong]) -> list[Verdict]:
        """A verdict for each song, in order."""
        cases = [_Case(song) for song in songs]
        for group in _groups(cases, self._settings.group_seconds):
            for step in self._steps:
                _run(step, group)
            for case in group:
                case.release()
        return [replace(case.verdict, took=case.took) for case in cases if case.verdict]

    def try_out(self) -> None:
        """Put a second of noise through all models; raises what they do."""
        noise = np.random.default_rng(0).normal(0.0, 0.1, (2, self._rate)).astype(np.float32)
        if self._separator is not None:
            self._separator.separate([noise])
        for name in self._codecs:
            self._codes(name, Audio(noise[:1], self._rate))

    def _decode(self, cases: list[_Case]) -> None:
        for case in cases:
            work, blobs = case.work, case.song.blobs
            if work.folder:
                case.stems = self._read_kept(work, blobs)
                continue
            sound = decode(work.entry, blobs, self._settings.limits)
            if song_id(sound.mix) != work.song_id:
                raise StemsError(
                    f"'{work.entry.uri}' is another recording than was looked at: it was replaced or written to.",
                    "Run the same command again; where it reads a catalog file, write that again before.",
                    code=CHANGED,
                )
            if work.entry.stems:
                self._take_given(case, sound.mix, sound.stems)
            else:
                assert self._separator is not None
                case.mix = sound.mix.stereo().resample(self._separator.sample_rate)

    def _read_kept(self, work: Work, blobs: Mapping[str, bytes]) -> dict[str, Audio]:
        try:
            kept = {name: read_stem(blobs, work.folder, name, work.seconds) for name in work.encode}
        except Exception as error:  # a decoder may raise anything at a damaged file
            raise StemsError(str(error), code=BROKEN_STEMS) from error
        return {name: stem.resample(self._rate) for name, stem in kept.items()}

    def _take_given(self, case: _Case, mix: Audio, stems: Mapping[str, Audio]) -> None:
        """Stems that the song came with; one that it lacks is silent in it."""
        sides = {name: stem.stereo().samples for name, stem in stems.items()}
        whole = mix.stereo().samples
        if self._sung(case, vocal_score(whole, sides, mix.rate)):
            return
        case.residual = residual_db(whole, sides)
        silence = Audio(np.zeros_like(mix.samples[:1]), mix.rate)
        case.stems = {
            name: as_stored(stems.get(name, silence).mono().resample(self._rate))
            for name in self._settings.layout.names
        }

    def _listen(self, cases: list[_Case]) -> None:
        """Leave out songs that are sung in a few stretches already: the whole song's score is not below a probe's."""
        assert self._separator is not None
        probes = self._separator.listen([case.wave for case in cases], self._settings.vocal_threshold)
        for case, probe in zip(cases, probes, strict=True):
            case.probe = probe
            self._sung(case, probe.score)

    def _separate(self, cases: list[_Case]) -> None:
        assert self._separator is not None
        separated = self._separator.separate([case.wave for case in cases], [case.probe for case in cases])
        for case, stems in zip(cases, separated, strict=True):
            if self._sung(case, vocal_score(case.wave, stems, self._separator.sample_rate)):
                continue
            case.residual = residual_db(case.wave, stems)
            case.stems = {
                name: as_stored(Audio(stems[name], self._separator.sample_rate).mono().resample(self._rate))
                for name in self._settings.layout.names
            }

    def _sung(self, case: _Case, score: float) -> bool:
        """Whether a song is left out for this score; a score that the table has of the song counts instead."""
        stored = case.work.vocal_score
        case.score = score if stored is None else stored
        if case.score <= self._settings.vocal_threshold:
            return False
        case.verdict = Verdict(vocal_score=case.score, sung=True)
        return True

    def _keep(self, cases: list[_Case]) -> None:
        for case in cases:
            work = case.work
            folder = work.repair or stems_folder(
                self._settings.keep_stems, work.entry.title, work.song_id, work.separator
            )
            write_stems(folder, case.stems)
            case.folder = folder

    def _encode(self, cases: list[_Case]) -> None:
        for case in cases:
            streams = [self._codes(name, case.stems[name]) for name in case.work.encode]
            case.verdict = Verdict(
                vocal_score=case.score,
                frame_rate=self._frame_rate,
                codes=np.concatenate(streams),
                stem_loudness=tuple(loudness(stem) for stem in case.stems.values()),
                residual_db=case.residual,
                folder=case.folder,
            )

    def _codes(self, name: str, stem: Audio) -> np.ndarray:
        """Codes of one stem, int16 [codebooks, frames]."""
        import torch

        wave = torch.from_numpy(stem.samples[0]).to(self._settings.device)
        return self._codecs[name].encode_song(wave).cpu().numpy().astype(np.int16)


@dataclass(frozen=True)
class _Step:
    """Something that is done to songs, many at a time, if it is to be done to them."""

    name: str
    work: Callable[[list[_Case]], None]
    applies: Callable[[_Case], bool]


def _run(step: _Step, cases: Sequence[_Case]) -> None:
    """One step for all songs without a verdict; should it fail, one song at a time, so only the culprit fails."""
    todo = [case for case in cases if not case.verdict and step.applies(case)]
    if not todo:
        return
    began = time.perf_counter()
    try:
        step.work(todo)
    except Exception:
        for case in todo:
            try:
                if not case.verdict:
                    step.work([case])
            except Exception as error:
                case.verdict = Verdict.failed(error)
    # A batch's time is shared out by length.
    rate = (time.perf_counter() - began) / sum(case.work.seconds for case in todo)
    for case in todo:
        case.took[step.name] = rate * case.work.seconds


def _groups(cases: Sequence[_Case], seconds: float) -> list[list[_Case]]:
    """Songs to hold in memory together: as many, in order, as last at most ``seconds``."""
    groups: list[list[_Case]] = []
    for case in cases:
        if groups and sum(other.work.seconds for other in groups[-1]) + case.work.seconds <= seconds:
            groups[-1].append(case)
        else:
            groups.append([case])
    return groups
