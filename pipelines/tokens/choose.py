"""What is to be done: a pure function of the catalog, of what the table knows, and of the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.tokens.decisions import VocalRule
from pipelines.tokens.known import Facts, Known, Made, codec_by_stem
from pipelines.tokens.limits import Limits, length_problem
from pipelines.tokens.reasons import DUPLICATE, REMOVED
from pipelines.tokens.schema import GIVEN, DroppedRow, Identity, QuarantineRow
from pipelines.tokens.splits import SUNG
from pipelines.tokens.work import Work


@dataclass
class Choice:
    """What a run is to do with the files of a catalog.

    Attributes:
        works: songs to tokenize.
        dropped: songs that are sung by their tags.
        quarantine: files that are set aside for what is known of them.
        sung: songs whose tokens are there, and which the rule in force leaves out, by separator.
        unsung: such songs that it takes back.
        readmitted: fingerprints of dropped songs that the rule in force takes back.
    """

    works: list[Work] = field(default_factory=list)
    dropped: list[DroppedRow] = field(default_factory=list)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    sung: dict[str, str] = field(default_factory=dict)
    unsung: dict[str, str] = field(default_factory=dict)
    readmitted: set[str] = field(default_factory=set)


class Chooser:
    """Decides song by song, in the catalog's order: of files with the same audio, the first one is the song.

    Args:
        known: the table's state.
        identity: of the run.
        layout: stems in stream order.
        rule: what makes a song count as sung.
        limits: what a song may be.
    """

    def __init__(self, known: Known, identity: Identity, layout: StemLayout, rule: VocalRule, limits: Limits) -> None:
        self._known, self._identity, self._layout = known, identity, layout
        self._rule, self._limits = rule, limits
        self._owners: dict[str, str] = {}

    def choose(self, entries: Sequence[CatalogEntry], facts: Mapping[str, Facts]) -> Choice:
        """What to do with entries whose facts are known; the others are left out."""
        choice = Choice()
        for entry in entries:
            if (found := facts.get(entry.fingerprint)) is not None:
                self._one(entry, found, choice)
        return choice

    def before_reading(self, entries: Sequence[CatalogEntry]) -> tuple[list[CatalogEntry], Choice]:
        """What can be said without opening a file: the entries that remain, and what to do with the others."""
        choice, remain = Choice(), []
        for entry in entries:
            tag = self._rule.by_tag(entry.tags)
            if entry.fingerprint in self._known.quarantined:
                continue
            if tag and entry.fingerprint not in self._known.facts:
                self._drop(entry, tag, choice)
            else:
                self._readmit(entry, choice)
                remain.append(entry)
        return remain, choice

    def _drop(self, entry: CatalogEntry, tag: str, choice: Choice) -> None:
        if not any(row.decided_by == tag for row in self._known.dropped.get(entry.fingerprint, ())):
            row = DroppedRow(entry.fingerprint, "", entry.uri, entry.title, entry.tags, 0.0, "", None, tag)
            choice.dropped.append(row)

    def _readmit(self, entry: CatalogEntry, choice: Choice) -> None:
        rows = self._dropped_rows(entry, GIVEN if entry.stems else self._identity.separator)
        if any(not self._rule.decide(entry.tags, row.vocal_score) for row in rows):
            choice.readmitted.add(entry.fingerprint)

    def _one(self, entry: CatalogEntry, facts: Facts, choice: Choice) -> None:
        separator = GIVEN if entry.stems else self._identity.separator
        made = [row for row in self._known.made.get(facts.song_id, ()) if row.separator == separator]
        mine = next((row for row in made if row.codecs == self._identity.codecs), None)
        score = self._score(entry, facts, separator)
        sung = self._rule.decide(entry.tags, score)
        owner = self._owner(entry, facts, made)
        if facts.song_id in self._known.removed_songs:
            self._set_aside(entry, facts, REMOVED, f"'{entry.uri}' was taken down.", choice)
        elif owner != entry.uri:
            self._set_aside(entry, facts, DUPLICATE, f"The same audio as '{owner}'.", choice)
        elif problem := length_problem(entry.uri, facts.seconds, self._limits):
            self._set_aside(entry, facts, problem.code, str(problem), choice)
        elif mine is not None:
            if sung and mine.split != SUNG:
                choice.sung[facts.song_id] = separator
            elif not sung and mine.split == SUNG:
                choice.unsung[facts.song_id] = separator
        elif sung:
            if not self._dropped_rows(entry, separator):
                choice.dropped.append(dropped_row(entry, facts, separator, score, sung))
        else:
            choice.works.append(self._work(entry, facts, separator, made, score))

    def _score(self, entry: CatalogEntry, facts: Facts, separator: str) -> float | None:
        """The vocal score that is stored, if any."""
        stored = [row.vocal_score for row in self._known.made.get(facts.song_id, ()) if row.separator == separator]
        stored += [r.vocal_score for r in self._dropped_rows(entry, separator) if r.vocal_score is not None]
        if (kept := self._known.stems.get((facts.song_id, separator))) is not None:
            stored.append(kept.vocal_score)
        return stored[0] if stored else None

    def _dropped_rows(self, entry: CatalogEntry, separator: str) -> list[DroppedRow]:
        """What was said of a file by its tags, or by this separator."""
        return [row for row in self._known.dropped.get(entry.fingerprint, ()) if row.separator in ("", separator)]

    def _owner(self, entry: CatalogEntry, facts: Facts, made: Sequence[Made]) -> str:
        """The uri of the file that is this song: one that has tokens, else the first of the catalog."""
        known = made[0].uri if made and all(row.fingerprint != entry.fingerprint for row in made) else entry.uri
        return self._owners.setdefault(facts.song_id, known)

    def _work(
        self, entry: CatalogEntry, facts: Facts, separator: str, made: Sequence[Made], score: float | None
    ) -> Work:
        kept = self._known.stems.get((facts.song_id, separator))
        folder = kept.folder if kept is not None and set(self._layout.names) <= set(kept.stems) else ""
        encode = missing_stems(self._layout, self._identity.codecs, made) if folder else ()
        names = encode or self._layout.names
        return Work(entry, facts.song_id, facts.seconds, separator, names, folder, score)

    def _set_aside(self, entry: CatalogEntry, facts: Facts, reason: str, message: str, choice: Choice) -> None:
        row = QuarantineRow(
            entry.uri, entry.fingerprint, reason, message, facts.song_id, "", "", self._identity.limits
        )
        choice.quarantine.append(row)


def dropped_row(
    entry: CatalogEntry, facts: Facts, separator: str, score: float | None, decided_by: str
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


def missing_stems(layout: StemLayout, codecs: str, made: Sequence[Made]) -> tuple[str, ...]:
    """The stems of a song that no row has codes of by these codecs; all where there is nothing to add to."""
    wanted = codec_by_stem(codecs)
    have = {pair for row in made for pair in codec_by_stem(row.codecs).items()}
    return tuple(name for name in layout.names if (name, wanted[name]) not in have)
