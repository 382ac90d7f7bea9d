"""`stems table verify`: check every row of a table against every rule of its contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from pipelines.table.schema import KEYS, SCHEMAS
from pipelines.table.token_table import TokenTable
from pipelines.upkeep import source_files
from pipelines.upkeep.config import VerifyConfig
from pipelines.upkeep.rules import code_rules, stem_rules, table_rules
from pipelines.upkeep.rules.verify_rules import Findings, VerifyReport

_SONGS_AT_A_TIME = 64
_ROWS_AT_A_TIME = 4096
_COLUMNS = {
    "catalog": ("fingerprint", "song_id", "signature", "entry"),
    "dropped": ("fingerprint", "separator", "song_id"),
    "quarantine": ("fingerprint", "separator", "codecs", "limits", "uri", "reason"),
    "stems": ("song_id", "separator", "folder", "stems", "rate", "seconds"),
    "removed": ("song_id",),
}
_LATER = ("catalog", "dropped", "quarantine", "stems")
_KEPT = ("song_id", "separator", "codecs", "split", "uri")


def verify(config: VerifyConfig) -> VerifyReport:
    """Check a token table; codes pass through the memory a few songs at a time.

    Returns:
        The offenders of each rule; its ``exit_code`` is 4 where a rule is broken. See docs/TABLE.md.

    Raises:
        StemsError: there is no table, or its schema is of another release.
    """
    table = TokenTable(config.table)
    findings = Findings(config.examples, unchecked=() if config.sources else ("sources",))
    # Jobs may be writing: takedowns are read first, and catalog rows, which are committed before their tokens, after
    # the tokens.
    removed = _read(table, "removed", findings)
    songs = _check_songs(table, findings)
    rows = {"tokens": songs, "removed": removed} | {name: _read(table, name, findings) for name in _LATER}
    for name, found in rows.items():
        table_rules.check_keys(name, found, KEYS[name], findings)
    table_rules.check_orphans(songs, rows["catalog"], findings)
    table_rules.check_removed(removed, {name: rows[name] for name in ("tokens", "stems", "catalog")}, findings)
    table_rules.check_dropped(songs, rows["dropped"], findings)
    table_rules.check_signatures(rows["catalog"], findings)
    table_rules.check_near_duplicates(songs, rows["catalog"], findings)
    table_rules.check_reasons(rows["quarantine"], findings)
    stem_rules.check_stems(rows["stems"], findings)
    stem_rules.check_strays(rows["stems"], findings)
    if config.sources:
        source_files.check_sources(songs, rows["catalog"], findings)
    return findings.report(table.root, {name: len(found) for name, found in rows.items()})


def _check_songs(table: TokenTable, findings: Findings) -> pa.Table:
    """Check each song by itself; return all of them without their codes."""
    kept = []
    for batch in _batches(table, "tokens", (*code_rules.COLUMNS, "uri"), _SONGS_AT_A_TIME, findings):
        code_rules.check_songs(batch, findings)
        kept.append(batch.select(list(_KEPT)))
    return pa.Table.from_batches(kept, _schema("tokens", _KEPT))


def _read(table: TokenTable, name: str, findings: Findings) -> pa.Table:
    batches = _batches(table, name, _COLUMNS[name], _ROWS_AT_A_TIME, findings)
    return pa.Table.from_batches(batches, _schema(name, _COLUMNS[name]))


def _batches(
    table: TokenTable, name: str, columns: Sequence[str], batch_rows: int, findings: Findings
) -> Iterator[pa.RecordBatch]:
    """Rows of one of the tables; files that cannot be read are findings."""
    return table.readable(name, columns, batch_rows, lambda fault: findings.add("files", [fault]))


def _schema(name: str, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([SCHEMAS[name].field(column) for column in columns])
