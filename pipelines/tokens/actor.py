"""The worker of the second stage: holds the models, takes batches of inspected files."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.errors import StemsError
from pipelines.tokens.inspect import INSPECTED, entry_from_json
from pipelines.tokens.tokenize import SongTokenizer, SourceSong, TokenizerSettings, Verdict

MODELS_FAIL = "models_fail"

TOKENIZED = pa.schema(
    [
        *(column for column in INSPECTED if column.name != "data"),
        ("vocal_score", pa.float32()),  # null where a tag decided
        ("decided_by", pa.string()),  # empty unless dropped for its vocals
        ("frames", pa.int32()),
        ("codes", pa.large_binary()),  # int16 [streams, frames], row by row; empty unless tokenized
    ]
)


class TokenizerActor:
    """Loads the models when the first song comes (bad files need none); its threads are its CPUs.

    Models that cannot be loaded give every song the reason :data:`MODELS_FAIL`: no song is to blame.
    """

    def __init__(self, settings: TokenizerSettings) -> None:
        self._settings = settings
        self._tokenizer: SongTokenizer | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """:data:`pipelines.tokens.inspect.INSPECTED` in, :data:`TOKENIZED` out, row for row."""
        rows = batch.to_pylist()
        songs = [
            SourceSong(entry_from_json(row["entry"]), row["song_id"], row["seconds"], row["data"])
            for row in rows
            if not row["reason"]
        ]
        found = iter(self._process(songs) if songs else [])
        verdicts = [Verdict(row["reason"], row["message"]) if row["reason"] else next(found) for row in rows]
        done = [_with_verdict(row, verdict) for row, verdict in zip(rows, verdicts, strict=True)]
        return pa.Table.from_pylist(done, schema=TOKENIZED)

    def _process(self, songs: list[SourceSong]) -> list[Verdict]:
        try:
            self._tokenizer = self._tokenizer or _load(self._settings)
        except Exception as error:  # a library may raise anything at a damaged file
            said = str(error) if isinstance(error, StemsError) else f"{type(error).__name__}: {error}"
            return [Verdict(MODELS_FAIL, said)] * len(songs)
        return self._tokenizer.process(songs)


def _load(settings: TokenizerSettings) -> SongTokenizer:
    import ray
    import torch

    from models.codec.codec import StemCodec
    from models.separation import Separator

    separator = Separator.load(settings.separator, device=settings.device)
    codecs = {
        name: StemCodec.load(Path(settings.codecs) / name, device=settings.device) for name in settings.layout.names
    }
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    torch.set_num_threads(max(1, math.ceil(cpus)))
    return SongTokenizer(settings, separator, codecs)


def _with_verdict(row: dict[str, object], verdict: Verdict) -> dict[str, object]:
    kept = {name: value for name, value in row.items() if name != "data"}
    codes = np.zeros((0, 0), np.int16) if verdict.codes is None else verdict.codes
    return {**kept, **asdict(verdict), "frames": codes.shape[1], "codes": codes.tobytes()}
