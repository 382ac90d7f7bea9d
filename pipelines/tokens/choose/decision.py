"""What to do with one file of a catalog, as a value: nothing is carried out here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from pipelines.catalog.schema import CatalogEntry
from pipelines.table.schema import DroppedRow, QuarantineRow
from pipelines.tokens.choose.reword import Rewording
from pipelines.tokens.choose.table_state import FileFacts
from pipelines.tokens.songs.work import Work

SongKey: TypeAlias = tuple[str, str]
"""Song and separator."""

FileKey: TypeAlias = tuple[str, str]
"""Fingerprint of a file, and separator."""


@dataclass(frozen=True)
class Decision:
    """What to do with one file, and how the rule in force changes the rows that the table has of its song.

    Args:
        action: tokenize the song, drop it, or quarantine the file; None where nothing is to be done.
        sung: rows of tokens that the rule now leaves out.
        unsung: rows of tokens that the rule takes back.
        readmitted: rows of dropped songs that the rule takes back.
        pardoned: a file that was quarantined as a duplicate and is the song now; empty for none.
    """

    action: Work | DroppedRow | QuarantineRow | None = None
    sung: frozenset[SongKey] = frozenset()
    unsung: frozenset[SongKey] = frozenset()
    readmitted: frozenset[FileKey] = frozenset()
    pardoned: str = ""


@dataclass(frozen=True)
class Choice:
    """The decisions on all files of a catalog, sorted by what carries them out.

    Args:
        works: songs to tokenize.
        dropped: songs that count as sung by what is known of them.
        quarantine: files to set aside for what is known of them.
        sung: see :class:`Decision`, as are the next three.
        unsung: of all decisions.
        readmitted: of all decisions.
        pardoned: of all decisions.
        rewording: rows whose title, caption or tags the catalog has changed.
    """

    works: tuple[Work, ...] = ()
    dropped: tuple[DroppedRow, ...] = ()
    quarantine: tuple[QuarantineRow, ...] = ()
    sung: frozenset[SongKey] = frozenset()
    unsung: frozenset[SongKey] = frozenset()
    readmitted: frozenset[FileKey] = frozenset()
    pardoned: frozenset[str] = frozenset()
    rewording: Rewording = field(default_factory=Rewording)

    @classmethod
    def of(cls, decisions: Iterable[Decision], rewording: Rewording) -> Choice:
        """Collect decisions, in their order."""
        made = tuple(decisions)
        actions = [each.action for each in made]
        return cls(
            works=tuple(each for each in actions if isinstance(each, Work)),
            dropped=tuple(each for each in actions if isinstance(each, DroppedRow)),
            quarantine=tuple(each for each in actions if isinstance(each, QuarantineRow)),
            sung=frozenset().union(*(each.sung for each in made)),
            unsung=frozenset().union(*(each.unsung for each in made)),
            readmitted=frozenset().union(*(each.readmitted for each in made)),
            pardoned=frozenset(each.pardoned for each in made if each.pardoned),
            rewording=rewording,
        )


def dropped_row(
    entry: CatalogEntry, facts: FileFacts, separator: str, score: float | None, decided_by: str
) -> DroppedRow:
    """The row of a song with vocals."""
    return DroppedRow(
        fingerprint=entry.fingerprint,
        song_id=facts.song_id,
        uri=entry.uri,
        title=entry.title,
        tags=entry.tags,
        seconds=facts.seconds,
        separator=separator,
        vocal_score=score,
        decided_by=decided_by,
    )
