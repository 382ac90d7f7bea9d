"""The second stage, in workers that hold the models: drop songs with vocals, separate, tokenize.

Only compressed bytes come in and tokens go out; samples live and die in the worker. A song that fails is
marked with ``failed:<type>``; the songs beside it go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.audio import Audio, read_audio
from models.errors import StemsError
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.tokens.identity import check_sources, normal_tag
from pipelines.tokens.inspect import FAILED
from pipelines.tokens.stems_folder import write_stems

if TYPE_CHECKING:
    from models.codec.codec import StemCodec
    from models.separation import Separator


@dataclass(frozen=True)
class Verdict:
    """What the second stage found: codes, or who decided that the song is sung, or what failed."""

    reason: str = ""
    message: str = ""
    vocal_score: float | None = None
    decided_by: str = ""
    codes: np.ndarray | None = None

    @classmethod
    def failed(cls, error: Exception) -> Verdict:
        """The verdict on a song that could not be processed."""
        reason = error.code if isinstance(error, StemsError) else f"{FAILED}{type(error).__name__}"
        return cls(reason, str(error)[:500])


@dataclass(frozen=True)
class TokenizerSettings:
    """What a worker needs to know.

    Args:
        separator: name or directory.
        codecs: directory of codec directories, one a stem.
        layout: stems in stream order.
        vocal_threshold: score above which a song is dropped.
        vocals: that rule's name in the table.
        vocal_tags: normalised tags that mean singing.
        group_seconds: songs separated together last at most this long, which bounds the memory.
        keep_stems: folder for stems, or empty.
        device: torch device.
    """

    separator: str
    codecs: str
    layout: StemLayout
    vocal_threshold: float
    vocals: str
    vocal_tags: frozenset[str]
    group_seconds: float
    keep_stems: str
    device: str


@dataclass(frozen=True)
class SourceSong:
    """A song as it reaches the worker: what the catalog says, its id, its seconds, its compressed bytes."""

    entry: CatalogEntry
    song_id: str
    seconds: float
    data: bytes


@dataclass
class _Work:
    """A song on its way through the worker; done as soon as there is a verdict."""

    song: SourceSong
    verdict: Verdict | None = None
    score: float = 0.0
    wave: np.ndarray = field(default_factory=lambda: np.zeros((2, 0), np.float32))
    stems: dict[str, Audio] = field(default_factory=dict)


class SongTokenizer:
    """Songs to codes, with a separator and one codec a stem.

    Raises:
        StemsError: the separator lacks a stem of the layout, or the codecs differ in rate or hop.
    """

    def __init__(self, settings: TokenizerSettings, separator: Separator, codecs: Mapping[str, StemCodec]) -> None:
        check_sources(separator.sources, settings.layout)
        kinds = {(codec.sample_rate, codec.hop) for codec in codecs.values()}
        if len(kinds) != 1:
            raise StemsError(
                f"The codecs in '{settings.codecs}' differ in sample rate or hop.",
                "Use codecs of one kind.",
                field="codecs",
            )
        self._settings, self._separator, self._codecs = settings, separator, codecs
        self._rate = kinds.pop()[0]

    def process(self, songs: Sequence[SourceSong]) -> list[Verdict]:
        """A verdict for each song, in order."""
        works = [_Work(song) for song in songs]
        _run(self._read_tags, works)
        for group in _groups([work for work in works if not work.verdict], self._settings.group_seconds):
            for step in (self._decode, self._listen, self._separate, self._keep, self._tokenize):
                _run(step, group)
            for work in group:
                work.wave, work.stems = work.wave[:, :0], {}
        return [work.verdict for work in works if work.verdict]

    def _read_tags(self, works: list[_Work]) -> None:
        for work in works:
            tags = map(normal_tag, work.song.entry.tags)
            if tag := next((tag for tag in tags if tag in self._settings.vocal_tags), ""):
                work.verdict = Verdict(decided_by=f"tag:{tag}")

    def _decode(self, works: list[_Work]) -> None:
        for work in works:
            audio = read_audio(work.song.data, name=work.song.entry.uri)
            work.wave = audio.stereo().resample(self._separator.sample_rate).samples

    def _listen(self, works: list[_Work]) -> None:
        scores = self._separator.vocal_score([work.wave for work in works])
        for work, score in zip(works, scores, strict=True):
            work.score = score
            if score > self._settings.vocal_threshold:
                work.verdict = Verdict(vocal_score=score, decided_by=self._settings.vocals)

    def _separate(self, works: list[_Work]) -> None:
        separated = self._separator.separate([work.wave for work in works])
        for work, stems in zip(works, separated, strict=True):
            work.stems = {
                name: Audio(stems[name], self._separator.sample_rate).mono().resample(self._rate)
                for name in self._settings.layout.names
            }

    def _keep(self, works: list[_Work]) -> None:
        if self._settings.keep_stems:
            for work in works:
                song = work.song
                write_stems(Path(self._settings.keep_stems), song.entry.title, song.song_id, work.stems)

    def _tokenize(self, works: list[_Work]) -> None:
        for work in works:
            streams = [self._encode(name, work.stems[name]) for name in self._settings.layout.names]
            work.verdict = Verdict(vocal_score=work.score, codes=np.concatenate(streams))

    def _encode(self, name: str, stem: Audio) -> np.ndarray:
        """Codes of one stem, int16 [codebooks, frames]."""
        import torch

        wave = torch.from_numpy(stem.samples[0]).to(self._settings.device)
        return self._codecs[name].encode_song(wave).cpu().numpy().astype(np.int16)


def _run(step: Callable[[list[_Work]], None], works: Sequence[_Work]) -> None:
    """One step for all songs without a verdict; should it fail, one song at a time, so only the culprit fails."""
    todo = [work for work in works if not work.verdict]
    try:
        if todo:
            step(todo)
    except Exception:
        for work in todo:
            try:
                if not work.verdict:
                    step([work])
            except Exception as error:
                work.verdict = Verdict.failed(error)


def _groups(works: Sequence[_Work], seconds: float) -> list[list[_Work]]:
    """Songs to hold in memory together: as many, in order, as last at most ``seconds``."""
    groups: list[list[_Work]] = []
    for work in works:
        if groups and sum(other.song.seconds for other in groups[-1]) + work.song.seconds <= seconds:
            groups[-1].append(work)
        else:
            groups.append([work])
    return groups
