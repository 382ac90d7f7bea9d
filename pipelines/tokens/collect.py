"""Results to rows: sort each into its table, take each song once, commit in batches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry
from pipelines.tokens.actor import MODELS_FAIL
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.inspect import DUPLICATE, FAILED, duplicate_message, entry_from_json
from pipelines.tokens.schema import DroppedRow, Identity, QuarantineRow, TokenRow
from pipelines.tokens.splits import split_of
from pipelines.tokens.table import TokenTable

MOST_SUSPECTS = 8


class Collector:
    """Takes results in catalog order, so that of equal songs the first is kept, and commits now and then.

    Args:
        table: where to.
        config: how often, and the share of validation songs.
        identity: the models.
        layout: string form of the stem layout.
        known: uri of each song that the table has.
    """

    def __init__(
        self,
        table: TokenTable,
        config: PrepareConfig,
        identity: Identity,
        layout: str,
        known: Mapping[str, str],
    ) -> None:
        self._table, self._config, self._identity = table, config, identity
        self._layout = layout
        self._uri_of_song = dict(known)
        self._tokens: list[TokenRow] = []
        self._dropped: list[DroppedRow] = []
        self._quarantined: list[QuarantineRow] = []
        self._suspects: list[QuarantineRow] = []
        self._models_work = False
        self._committed_at = time.monotonic()
        self.seen: set[str] = set()
        self.tokenized = self.vocals = self.duplicates = 0
        self.quarantined: Counter[str] = Counter()
        self.hours = 0.0

    def take(self, result: Mapping[str, Any]) -> None:
        """Take one row of :data:`pipelines.tokens.actor.TOKENIZED`; commits when it is time."""
        entry = entry_from_json(result["entry"])
        song_id = result["song_id"]
        if result["reason"] == MODELS_FAIL:
            raise StemsError(
                f"The models cannot be loaded. {result['message']}",
                "What was done so far is in the table.",
                code=MODELS_FAIL,
                field="separator",
            )
        if result["reason"].startswith(FAILED) and song_id and not self._models_work:
            self._suspect(self._quarantine_row(entry, result["reason"], result["message"], song_id))
        elif result["reason"]:
            self.quarantine(entry, result["reason"], result["message"], song_id)
        elif song_id in self._uri_of_song:
            self.quarantine(entry, DUPLICATE, duplicate_message(self._uri_of_song[song_id]), song_id)
        elif result["decided_by"]:
            self._dropped.append(self._dropped_row(entry, result))
        else:
            self._tokens.append(self._token_row(entry, result))
        if not result["reason"]:
            self._uri_of_song.setdefault(song_id, entry.uri)
            self._trust_models(result)
        self.seen.add(entry.fingerprint)
        pending = len(self._tokens) + len(self._dropped) + len(self._quarantined)
        waited = time.monotonic() - self._committed_at
        if pending >= self._config.commit_songs or waited >= self._config.commit_seconds:
            self.commit()

    def quarantine(self, entry: CatalogEntry, reason: str, message: str, song_id: str = "") -> None:
        """Put a file aside."""
        self._quarantined.append(self._quarantine_row(entry, reason, message, song_id))

    def _suspect(self, row: QuarantineRow) -> None:
        """Songs that failed before any went well: after a few it is the models, and no song is to blame."""
        self._suspects.append(row)
        if len(self._suspects) >= MOST_SUSPECTS:
            raise StemsError(
                f"The models failed on each of the first {MOST_SUSPECTS} songs; on the last with: {row.message}",
                "Check the separator and the codecs; none of these songs was put in quarantine.",
                code=MODELS_FAIL,
                field="separator",
            )

    def _trust_models(self, result: Mapping[str, Any]) -> None:
        """A song went well (a tag says nothing of the models): earlier failures were the songs' own."""
        if not result["decided_by"].startswith("tag:"):
            self._models_work = True
            self._quarantined += self._suspects
            self._suspects = []

    def finish(self) -> None:
        """Write all that is left."""
        self._quarantined += self._suspects
        self._suspects = []
        self.commit()

    def commit(self) -> None:
        """Write what is pending, each table in one atomic commit, and count what went in."""
        tokens, dropped, quarantined = self._tokens, self._dropped, self._quarantined
        self._tokens, self._dropped, self._quarantined = [], [], []
        added = self._table.commit_tokens(tokens)
        self.tokenized += added
        self.hours += sum(row.seconds for row in tokens) / 3600 * (added / len(tokens) if tokens else 0)
        self.vocals += self._table.commit_dropped(dropped)
        self._table.commit_quarantine(quarantined)
        reasons = Counter(row.reason for row in quarantined)
        self.duplicates += reasons.pop(DUPLICATE, 0)
        self.quarantined += reasons
        self._committed_at = time.monotonic()

    def _quarantine_row(self, entry: CatalogEntry, reason: str, message: str, song_id: str) -> QuarantineRow:
        return QuarantineRow(
            uri=entry.uri,
            fingerprint=entry.fingerprint,
            reason=reason,
            message=message,
            song_id=song_id,
            separator=self._identity.separator,
            codecs=self._identity.codecs,
            limits=self._identity.limits,
        )

    def _dropped_row(self, entry: CatalogEntry, result: Mapping[str, Any]) -> DroppedRow:
        return DroppedRow(
            song_id=result["song_id"],
            uri=entry.uri,
            fingerprint=entry.fingerprint,
            title=entry.title,
            tags=entry.tags,
            seconds=result["seconds"],
            separator=self._identity.separator,
            vocal_score=result["vocal_score"],
            decided_by=result["decided_by"],
        )

    def _token_row(self, entry: CatalogEntry, result: Mapping[str, Any]) -> TokenRow:
        return TokenRow(
            song_id=result["song_id"],
            uri=entry.uri,
            fingerprint=entry.fingerprint,
            title=entry.title,
            caption=entry.caption,
            tags=entry.tags,
            seconds=result["seconds"],
            source_rate=result["rate"],
            source_channels=result["channels"],
            codes=np.frombuffer(result["codes"], np.int16).reshape(-1, result["frames"]),
            layout=self._layout,
            separator=self._identity.separator,
            codecs=self._identity.codecs,
            loudness=result["loudness"],
            vocal_score=result["vocal_score"],
            split=split_of(result["song_id"], self._config.valid_share),
        )
