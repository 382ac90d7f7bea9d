"""The token table: three Delta tables that any Arrow reader opens.

``<root>/tokens`` holds the songs, ``<root>/dropped`` those with vocals, ``<root>/quarantine`` the files that
are no songs. Schemas: :mod:`pipelines.tokens.schema`. Readers go through a version, so that a training run
can pin what it saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.tokens.keyed import KeyedTable
from pipelines.tokens.schema import (
    DROPPED,
    QUARANTINE,
    SCHEMA_VERSION,
    TOKENS,
    DroppedRow,
    Identity,
    QuarantineRow,
    TokenRow,
    plain_table,
    tokens_table,
)


class TokenTable:
    """Songs as tokens, on a local path or ``s3://`` (options from ``AWS_*`` environment variables).

    Args:
        root: folder of the three tables.
        storage_options: for the object store, instead of the environment's.
    """

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")

        def table(name: str, schema: pa.Schema, key: tuple[str, ...]) -> KeyedTable:
            return KeyedTable(f"{self.root}/{name}", schema, key, SCHEMA_VERSION, storage_options)

        self._tokens = table("tokens", TOKENS, ("song_id", "separator", "codecs"))
        self._dropped = table("dropped", DROPPED, ("song_id", "separator", "decided_by"))
        self._quarantine = table("quarantine", QUARANTINE, ("fingerprint", "separator", "codecs", "limits"))

    def create(self) -> None:
        """Create what is missing of the three tables, empty."""
        for table in (self._tokens, self._dropped, self._quarantine):
            table.create()

    @property
    def version(self) -> int:
        """The newest version of the songs: what a training run pins. StemsError where there is no table."""
        return self._tokens.version

    def versions(self) -> dict[str, int]:
        """The newest version of each table."""
        return {
            "tokens": self._tokens.version,
            "dropped": self._dropped.version,
            "quarantine": self._quarantine.version,
        }

    def rows(
        self, split: str | None = None, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Songs, in no particular order (sort by ``song_id`` to compare tables).

        Args:
            split: ``train`` or ``valid``; both by default.
            version: an earlier version; the newest by default.
            columns: only these.

        Raises:
            StemsError: there is no table, or no such version.
        """
        wanted = None if split is None else ds.field("split") == split
        return self._tokens.read(list(columns) if columns else None, wanted, version)

    def stream(
        self, made_by: Sequence[str], version: int, columns: Sequence[str], batch_rows: int = 64
    ) -> Iterator[pa.RecordBatch]:
        """Songs of one version, a few at a time: for tables larger than memory.

        Args:
            made_by: values of ``codecs`` whose songs are wanted.
            version: of the songs.
            columns: only these.
            batch_rows: the most songs at a time.

        Raises:
            StemsError: there is no table, or no such version.
        """
        return self._tokens.stream(list(columns), ds.field("codecs").isin(list(made_by)), version, batch_rows)

    def dropped(self) -> pa.Table:
        """Songs with vocals."""
        return self._dropped.read()

    def quarantine(self) -> pa.Table:
        """Files that are no songs, and why."""
        return self._quarantine.read()

    def commit_tokens(self, rows: Sequence[TokenRow]) -> int:
        """Insert songs that are absent, atomically; return how many were."""
        return self._tokens.insert(tokens_table(rows)) if rows else 0

    def commit_dropped(self, rows: Sequence[DroppedRow]) -> int:
        """Insert songs with vocals that are absent, atomically; return how many were."""
        return self._dropped.insert(plain_table(rows, DROPPED)) if rows else 0

    def commit_quarantine(self, rows: Sequence[QuarantineRow]) -> int:
        """Insert files that are absent, atomically; return how many were."""
        return self._quarantine.insert(plain_table(rows, QUARANTINE)) if rows else 0

    def known_sources(self, identity: Identity) -> set[str]:
        """Fingerprints of the sources that a run of this identity has nothing more to do for."""
        tokens = self._tokens.read(["fingerprint"], _same_models(identity))
        rules = [identity.vocals, *(f"tag:{tag}" for tag in identity.vocal_tags)]
        dropped = self._dropped.read(["fingerprint"], _same_separator(identity) & ds.field("decided_by").isin(rules))
        same_limits = _same_models(identity) & (ds.field("limits") == identity.limits)
        quarantine = self._quarantine.read(["fingerprint"], same_limits)
        return {value for table in (tokens, dropped, quarantine) for value in table["fingerprint"].to_pylist()}

    def known_songs(self, identity: Identity) -> dict[str, str]:
        """Where each song that was tokenized by the same models came from: uri by song id."""
        rows = self._tokens.read(["song_id", "uri"], _same_models(identity))
        return dict(zip(rows["song_id"].to_pylist(), rows["uri"].to_pylist(), strict=True))


def _same_separator(identity: Identity) -> ds.Expression:
    return ds.field("separator") == identity.separator


def _same_models(identity: Identity) -> ds.Expression:
    return _same_separator(identity) & (ds.field("codecs") == identity.codecs)
