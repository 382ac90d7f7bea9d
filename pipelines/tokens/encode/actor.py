"""The workers of the second phase: tasks that fetch bytes, and the actor that holds the models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from models.errors import StemsError
from pipelines.catalog.storage.files import Unreachable, read_bytes
from pipelines.tokens.encode.stage_metrics import StageMetrics
from pipelines.tokens.encode.steps import SourceSong, Verdict
from pipelines.tokens.encode.tokenize import SongTokenizer, TokenizerSettings
from pipelines.tokens.songs.kept_stems import stem_uri
from pipelines.tokens.songs.reasons import BROKEN_STEMS, FAILED, MISSING, MODELS_FAIL, NOT_WRITTEN
from pipelines.tokens.songs.source import fetch
from pipelines.tokens.songs.work import PROBE, work_from_json

FETCHED = pa.schema(
    [
        ("line", pa.string()),  # JSON of the Work
        ("reason", pa.string()),  # empty, or why the bytes could not be had
        ("message", pa.string()),
        ("uris", pa.list_(pa.string())),
        ("blobs", pa.list_(pa.large_binary())),  # compressed bytes, one an uri
    ]
)

TOKENIZED = pa.schema(
    [
        ("song_id", pa.string()),
        ("reason", pa.string()),  # empty, or a quarantine code
        ("message", pa.string()),
        ("vocal_score", pa.float32()),
        ("sung", pa.bool_()),
        ("frames", pa.int32()),
        ("frame_rate", pa.float32()),
        ("codes", pa.large_binary()),  # int16 [streams, frames], row by row; empty unless tokenized
        ("stem_loudness", pa.list_(pa.float32())),
        ("residual_db", pa.float32()),
        ("folder", pa.string()),
        ("took", pa.string()),  # JSON: seconds by stage
    ]
)


def fetch_files(batch: pa.Table, *, allow_hosts: tuple[str, ...], max_bytes: int | None) -> pa.Table:
    """The compressed bytes of each work's files: column ``line`` in, :data:`FETCHED` out, row for row."""
    rows = [_fetch(line, allow_hosts, max_bytes) for line in batch["line"].to_pylist()]
    return pa.Table.from_pylist(rows, schema=FETCHED)


def _fetch(line: str, allow_hosts: tuple[str, ...], max_bytes: int | None) -> dict[str, Any]:
    if line == PROBE:
        return _fetched(line)
    work = work_from_json(line)
    try:
        if work.folder:
            return _fetched(line, {uri: read_bytes(uri) for uri in (stem_uri(work.folder, n) for n in work.encode)})
        return _fetched(line, fetch(work.entry, allow_hosts=allow_hosts, max_bytes=max_bytes))
    except Exception as error:  # whatever a store's client may raise
        reason = error.code if isinstance(error, StemsError) else f"{FAILED}{type(error).__name__}"
        if isinstance(error, FileNotFoundError):
            reason = MISSING
        if work.folder and not isinstance(error, Unreachable):
            reason = BROKEN_STEMS
        return _fetched(line, reason=reason, message=str(error)[:500])


def _fetched(
    line: str, blobs: Mapping[str, bytes] = MappingProxyType({}), reason: str = "", message: str = ""
) -> dict[str, Any]:
    return {"line": line, "reason": reason, "message": message, "uris": [*blobs], "blobs": [*blobs.values()]}


class TokenizerActor:
    """Loads the models when the first song comes.

    Models that cannot be loaded give every song the reason :data:`MODELS_FAIL`: no song is to blame.
    """

    def __init__(self, settings: TokenizerSettings) -> None:
        self._settings = settings
        self._tokenizer: SongTokenizer | None = None
        self._metrics = StageMetrics()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """:data:`FETCHED` in, :data:`TOKENIZED` out: what stops the job comes last."""
        rows = batch.to_pylist()
        probes, rows = ([row for row in rows if (row["line"] == PROBE) is wanted] for wanted in (True, False))
        done = [_row(PROBE, self._try_out()) for _ in probes] + self._take(rows)
        done.sort(key=lambda row: row["reason"] == NOT_WRITTEN)
        return pa.Table.from_pylist(done, schema=TOKENIZED)

    def _take(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        works = [work_from_json(row["line"]) for row in rows]
        songs = [
            SourceSong(work, dict(zip(row["uris"], row["blobs"], strict=True)))
            for work, row in zip(works, rows, strict=True)
            if not row["reason"]
        ]
        found = iter(self._process(songs) if songs else [])
        verdicts = [Verdict(row["reason"], row["message"]) if row["reason"] else next(found) for row in rows]
        for work, verdict in zip(works, verdicts, strict=True):
            for stage, took in verdict.took.items():
                self._metrics.add(stage, verdict.reason or "ok", work.seconds, took)
        return [_row(work.song_id, verdict) for work, verdict in zip(works, verdicts, strict=True)]

    def _process(self, songs: list[SourceSong]) -> list[Verdict]:
        try:
            self._tokenizer = self._tokenizer or self._load()
        except Exception as error:  # a library may raise anything at a damaged file
            return [_models_fail(error)] * len(songs)
        return self._tokenizer.process(songs)

    def _try_out(self) -> Verdict:
        """Load the models and let them work on a second of noise."""
        try:
            self._tokenizer = self._tokenizer or self._load()
            self._tokenizer.try_out()
        except Exception as error:
            return _models_fail(error)
        return Verdict()

    def _load(self) -> SongTokenizer:
        return load_tokenizer(self._settings)


def load_tokenizer(settings: TokenizerSettings) -> SongTokenizer:
    """The models, in this process, which computes with as many threads as the settings say from now on.

    Raises what loading a separator and codecs does.
    """
    import torch

    from models.codec.codec import StemCodec
    from models.memory import keep_freed_memory
    from models.separation import Separator

    keep_freed_memory()
    torch.set_num_threads(settings.threads)
    separator = Separator.load(settings.separator, device=settings.device) if settings.separator else None
    codecs = {
        name: StemCodec.load(Path(settings.codecs) / name, device=settings.device) for name in settings.layout.names
    }
    return SongTokenizer(settings, separator, codecs)


def _models_fail(error: Exception) -> Verdict:
    said = str(error) if isinstance(error, StemsError) else f"{type(error).__name__}: {error}"
    return Verdict(MODELS_FAIL, said)


def _row(song_id: str, verdict: Verdict) -> dict[str, Any]:
    codes = np.zeros((0, 0), np.int16) if verdict.codes is None else verdict.codes
    return {
        "song_id": song_id,
        "reason": verdict.reason,
        "message": verdict.message,
        "vocal_score": verdict.vocal_score,
        "sung": verdict.sung,
        "frames": codes.shape[1],
        "frame_rate": verdict.frame_rate,
        "codes": codes.tobytes(),
        "stem_loudness": verdict.stem_loudness,
        "residual_db": verdict.residual_db,
        "folder": verdict.folder,
        "took": json.dumps(verdict.took),
    }
