"""The workers of the second phase: tasks that fetch files, and the actor that holds the models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from models.errors import StemsError
from pipelines.catalog.storage.files import Unreachable, read_bytes
from pipelines.tokens.encode.results import TOKENIZED, Failed, SongResult, result_to_row
from pipelines.tokens.encode.stage_metrics import StageMetrics
from pipelines.tokens.encode.steps import SourceSong
from pipelines.tokens.encode.tokenize import SongTokenizer, TokenizerSettings
from pipelines.tokens.songs.kept_stems import stem_uri
from pipelines.tokens.songs.reasons import BROKEN_STEMS, FAILED, MISSING, MODELS_FAIL, NOT_WRITTEN
from pipelines.tokens.songs.source import fetch
from pipelines.tokens.songs.work import PROBE, work_from_json

FETCHED = pa.schema(
    [
        ("line", pa.string()),  # JSON of the Work
        ("reason", pa.string()),  # why the bytes are missing; empty otherwise
        ("message", pa.string()),
        ("uris", pa.list_(pa.string())),
        ("blobs", pa.list_(pa.large_binary())),  # compressed bytes, one per uri
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
    except Exception as error:  # a store's client may raise anything
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
    """Loads the models when the first song arrives.

    If they cannot be loaded, every song gets the reason :data:`MODELS_FAIL`: no song is to blame.
    """

    def __init__(self, settings: TokenizerSettings) -> None:
        self._settings = settings
        self._tokenizer: SongTokenizer | None = None
        self._metrics = StageMetrics()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """:data:`FETCHED` in, :data:`TOKENIZED` out; a row that stops the job comes last."""
        rows = batch.to_pylist()
        probes, rows = ([row for row in rows if (row["line"] == PROBE) is wanted] for wanted in (True, False))
        done = [result_to_row(PROBE, self._try_out()) for _ in probes] + self._take(rows)
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
        results = [Failed(row["reason"], row["message"]) if row["reason"] else next(found) for row in rows]
        for work, result in zip(works, results, strict=True):
            outcome = result.reason if isinstance(result, Failed) else "ok"
            for stage, took in result.took.items():
                self._metrics.add(stage, outcome, work.seconds, took)
        return [result_to_row(work.song_id, result) for work, result in zip(works, results, strict=True)]

    def _process(self, songs: list[SourceSong]) -> list[SongResult]:
        try:
            self._tokenizer = self._tokenizer or self._load()
        except Exception as error:  # a library may raise anything on a damaged file
            return [_models_fail(error)] * len(songs)
        return self._tokenizer.process(songs)

    def _try_out(self) -> Failed | None:
        """Load the models and run them on a second of noise; None if they work."""
        try:
            self._tokenizer = self._tokenizer or self._load()
            self._tokenizer.try_out()
        except Exception as error:
            return _models_fail(error)
        return None

    def _load(self) -> SongTokenizer:
        return load_tokenizer(self._settings)


def load_tokenizer(settings: TokenizerSettings) -> SongTokenizer:
    """Load the models into this process, which computes with the settings' number of threads from now on.

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


def _models_fail(error: Exception) -> Failed:
    said = str(error) if isinstance(error, StemsError) else f"{type(error).__name__}: {error}"
    return Failed(MODELS_FAIL, said)
