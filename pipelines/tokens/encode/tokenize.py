"""The second phase, in workers that hold the models: drop songs with vocals, separate, tokenize.

Compressed bytes come in and codes go out; samples never leave the worker. A song that fails gets the reason
``failed:<type>``, and the songs of its batch go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from models.audio.files import Audio, loudness
from models.errors import StemsError
from models.separation.quality import residual_db
from models.separation.vocals import vocal_score
from models.stems import StemLayout
from pipelines.tokens.choose.vocal_rule import VocalRule
from pipelines.tokens.encode.results import MadeStems, SongResult, Sung, Tokenized
from pipelines.tokens.encode.steps import Case, SourceSong, Step, groups, run_step
from pipelines.tokens.resolve import check_sources
from pipelines.tokens.songs.inspect import song_id
from pipelines.tokens.songs.kept_stems import as_stored, read_stem, stems_folder, write_stems
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.reasons import BROKEN_STEMS, CHANGED
from pipelines.tokens.songs.source import SongAudio, decode
from pipelines.tokens.songs.work import Work

if TYPE_CHECKING:
    from models.codec.codec import StemCodec
    from models.separation import Separator


@dataclass(frozen=True)
class TokenizerSettings:
    """A worker's settings.

    Args:
        separator: name or directory; empty where all stems are kept already.
        codecs: directory of codec directories, one per stem.
        layout: stems in stream order.
        rule: what makes a song count as sung.
        limits: length and size that a song may have.
        group_seconds: songs separated together last at most this long, which bounds the memory.
        keep_stems: folder for stems; empty keeps none.
        device: torch device.
        threads: CPU threads; codes are equal to the bit at equal threads.
    """

    separator: str
    codecs: str
    layout: StemLayout
    rule: VocalRule
    limits: SongLimits
    group_seconds: float
    keep_stems: str
    device: str
    threads: int


class SongTokenizer:
    """Turns songs into codes, with one codec per stem and a separator (none where all stems are kept already).

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
            Step("decode", self._decode, _always),
            Step("listen", self._listen, lambda case: case.mix is not None and case.work.vocal_score is None),
            Step("separate", self._separate, lambda case: case.mix is not None),
            Step("keep", self._keep, lambda case: bool(settings.keep_stems) and not case.work.folder),
            Step("encode", self._encode, _always),
        )

    def process(self, songs: Sequence[SourceSong]) -> list[SongResult]:
        """A result for each song, in order."""
        cases = [Case(song) for song in songs]
        for group in groups(cases, self._settings.group_seconds):
            for step in self._steps:
                run_step(step, group)
            for case in group:
                case.release()
        results = [case.result and replace(case.result, took=case.took) for case in cases]
        done = [result for result in results if result is not None]
        assert len(done) == len(songs), "the last step gives every song a result"
        return done

    def try_out(self) -> None:
        """Run a second of noise through all models; raises what they raise."""
        noise = np.random.default_rng(0).normal(0.0, 0.1, (2, self._rate)).astype(np.float32)
        if self._separator is not None:
            self._separator.separate([noise])
        for name in self._codecs:
            self._codes(name, Audio(noise[:1], self._rate))

    def _decode(self, cases: list[Case]) -> None:
        for case in cases:
            if case.work.folder:
                case.stems = self._read_kept(case.work, case.song.blobs)
                continue
            sound = self._read_song(case.song)
            if case.work.entry.stems:
                self._take_given(case, sound.mix, sound.stems)
            else:
                assert self._separator is not None
                case.mix = sound.mix.stereo().resample(self._separator.sample_rate)

    def _read_song(self, song: SourceSong) -> SongAudio:
        work = song.work
        sound = decode(work.entry, song.blobs, self._settings.limits)
        if song_id(sound.mix) != work.song_id:
            raise StemsError(
                f"'{work.entry.uri}' has changed since it was inspected: it was replaced or written to.",
                "Run the same command again; if it reads a catalog file, write that file again first.",
                code=CHANGED,
            )
        return sound

    def _read_kept(self, work: Work, blobs: Mapping[str, bytes]) -> dict[str, Audio]:
        try:
            kept = {name: read_stem(blobs, work.folder, name, work.seconds) for name in work.encode}
        except Exception as error:  # a decoder may raise anything at a damaged file
            raise StemsError(str(error), code=BROKEN_STEMS) from error
        return {name: stem.resample(self._rate) for name, stem in kept.items()}

    def _take_given(self, case: Case, mix: Audio, stems: Mapping[str, Audio]) -> None:
        """Use the stems that the song came with; a stem that it lacks is silent."""
        sides = {name: stem.stereo().samples for name, stem in stems.items()}
        whole = mix.stereo().samples
        if self._sung(case, vocal_score(whole, sides, mix.rate)):
            return
        case.residual_db = residual_db(whole, sides)
        silence = Audio(np.zeros_like(mix.samples[:1]), mix.rate)
        case.stems = {
            name: as_stored(stems.get(name, silence).mono().resample(self._rate))
            for name in self._settings.layout.names
        }

    def _listen(self, cases: list[Case]) -> None:
        """Drop songs that a few stretches show to be sung: the whole song's score is not below theirs."""
        assert self._separator is not None
        probes = self._separator.listen([case.wave for case in cases], self._settings.rule.threshold)
        for case, probe in zip(cases, probes, strict=True):
            case.probe = probe
            self._sung(case, probe.score)

    def _separate(self, cases: list[Case]) -> None:
        assert self._separator is not None
        separated = self._separator.separate([case.wave for case in cases], [case.probe for case in cases])
        for case, stems in zip(cases, separated, strict=True):
            if self._sung(case, vocal_score(case.wave, stems, self._separator.sample_rate)):
                continue
            case.residual_db = residual_db(case.wave, stems)
            case.stems = {
                name: as_stored(Audio(stems[name], self._separator.sample_rate).mono().resample(self._rate))
                for name in self._settings.layout.names
            }

    def _sung(self, case: Case, score: float) -> bool:
        """Whether the rule drops a song for this score; a score that the table has of the song counts instead."""
        stored = case.work.vocal_score
        case.vocal_score = score if stored is None else stored
        by_score = self._settings.rule.by_score(case.vocal_score)
        if by_score:
            case.result = Sung(case.vocal_score, by_score)
        return bool(by_score)

    def _keep(self, cases: list[Case]) -> None:
        for case in cases:
            work = case.work
            folder = work.repair or stems_folder(
                self._settings.keep_stems, work.entry.title, work.song_id, work.separator
            )
            write_stems(folder, case.stems)
            case.folder = folder

    def _encode(self, cases: list[Case]) -> None:
        for case in cases:
            streams = [self._codes(name, case.stems[name]) for name in case.work.encode]
            case.result = Tokenized(np.concatenate(streams), self._frame_rate, _measured(case))

    def _codes(self, name: str, stem: Audio) -> np.ndarray:
        """Codes of one stem, int16 [codebooks, frames]."""
        import torch

        wave = torch.from_numpy(stem.samples[0]).to(self._settings.device)
        return self._codecs[name].encode_song(wave).cpu().numpy().astype(np.int16)


def _measured(case: Case) -> MadeStems | None:
    """Measurements of stems that were made here; those of kept stems are in the table."""
    if case.work.folder:
        return None
    assert case.vocal_score is not None
    assert case.residual_db is not None
    levels = tuple(loudness(stem) for stem in case.stems.values())
    return MadeStems(case.vocal_score, levels, case.residual_db, case.folder)


def _always(_: Case) -> bool:
    return True
