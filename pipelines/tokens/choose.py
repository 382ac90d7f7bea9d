"""What is to be done: a pure function of the catalog, of what the table knows, and of the rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
        dropped: songs that are sung by what is known of them.
        quarantine: files that are set aside for what is known of them.
        sung: songs whose tokens are there, and which the rule in force leaves out, by separator.
        unsung: such songs that it takes back.
        readmitted: file and separator of dropped songs that the rule in force takes back.
        pardoned: files that were duplicates, and are songs now that the others are gone.
    """

    works: list[Work] = field(default_factory=list)
    dropped: list[DroppedRow] = field(default_factory=list)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    sung: dict[str, str] = field(default_factory=dict)
    unsung: dict[str, str] = field(default_factory=dict)
    readmitted: set[tuple[str, str]] = field(default_factory=set)
    pardoned: set[str] = field(default_factory=set)


class Chooser:
    """Decides song by song. Of files with the same audio, one is the song: one that has tokens, else the first.

    Args:
        known: the table's state.
        identity: of the run.
        layout: stems in stream order.
        rule: what makes a song count as sung.
        limits: what a song may be.
        keep: songs whose stems are not kept are separated again, to keep them.
        damaged: song and separator of kept stems that are gone or damaged; they are made again in their place.
    """

    def __init__(
        self,
        known: Known,
        identity: Identity,
        layout: StemLayout,
        rule: VocalRule,
        limits: Limits,
        keep: bool = False,
        damaged: Collection[tuple[str, str]] = (),
    ) -> None:
        self._known, self._identity, self._layout = known, identity, layout
        self._rule, self._limits, self._keep, self._damaged = rule, limits, keep, damaged

    def before_reading(self, entries: Sequence[CatalogEntry]) -> tuple[list[CatalogEntry], Choice]:
        """What can be said without opening a file: the entries that remain, and what to do with the others."""
        choice, remain = Choice(), []
        for entry in entries:
            if entry.fingerprint in self._known.quarantined:
                continue
            tag = self._rule.by_tag(entry.tags)
            said = [row for row in self._known.dropped.get(entry.fingerprint, ()) if not row.song_id]
            if tag and entry.fingerprint not in self._known.facts:
                if not said:
                    row = DroppedRow(entry.fingerprint, "", entry.uri, entry.title, entry.tags, 0.0, "", None, tag)
                    choice.dropped.append(row)
                continue
            choice.readmitted.update((row.fingerprint, row.separator) for row in said)
            remain.append(entry)
        return remain, choice

    def choose(self, entries: Sequence[CatalogEntry], facts: Mapping[str, Facts]) -> Choice:
        """What to do with entries whose facts are known; the others are left out."""
        choice = Choice()
        there = [(entry, facts[entry.fingerprint]) for entry in entries if entry.fingerprint in facts]
        owners = self._owners(there)
        for entry, found in there:
            if found.song_id in self._known.removed_songs:
                self._set_aside(entry, found, REMOVED, f"'{entry.uri}' was taken down.", choice)
            elif owners[found.song_id].fingerprint != entry.fingerprint:
                self._duplicate(entry, found, owners[found.song_id].uri, choice)
            else:
                self._song(entry, found, choice)
        return choice

    def _owners(self, there: Sequence[tuple[CatalogEntry, Facts]]) -> dict[str, CatalogEntry]:
        """The entry of each song, of those that hold its audio."""
        owners: dict[str, CatalogEntry] = {}
        for entry, facts in there:
            named = {row.fingerprint for row in self._known.made.get(facts.song_id, ())}
            owner = owners.setdefault(facts.song_id, entry)
            if entry.fingerprint in named and owner.fingerprint not in named:
                owners[facts.song_id] = entry
        return owners

    def _duplicate(self, entry: CatalogEntry, facts: Facts, of: str, choice: Choice) -> None:
        if entry.fingerprint not in self._known.duplicates:
            self._set_aside(entry, facts, DUPLICATE, f"The same audio as '{of}'.", choice)

    def _song(self, entry: CatalogEntry, facts: Facts, choice: Choice) -> None:
        separator = GIVEN if entry.stems else self._identity.separator
        made = [row for row in self._known.made.get(facts.song_id, ()) if row.separator == separator]
        mine = [row for row in made if row.codecs == self._identity.codecs]
        dropped = [
            row for row in self._known.dropped_songs.get(facts.song_id, ()) if row.separator in ("", separator)
        ]
        score = self._score(facts, separator, made, dropped)
        sung = self._rule.decide(entry.tags, score)
        if entry.fingerprint in self._known.duplicates and not mine:
            choice.pardoned.add(entry.fingerprint)
        self._resplit(facts.song_id, separator, made, bool(sung), choice)
        if sung:
            if not mine and all(row.fingerprint != entry.fingerprint for row in dropped):
                choice.dropped.append(dropped_row(entry, facts, separator, score, sung))
        elif mine:
            key = (facts.song_id, separator)
            if self._keep and (key not in self._known.stems or key in self._damaged):
                choice.works.append(self._work(entry, facts, separator, made, score))
        elif problem := length_problem(entry.uri, facts.seconds, self._limits):
            self._set_aside(entry, facts, problem.code, str(problem), choice)
        else:
            choice.works.append(self._work(entry, facts, separator, made, score))
        if not sung:
            choice.readmitted.update((row.fingerprint, row.separator) for row in dropped)

    def _resplit(self, song: str, separator: str, made: Sequence[Made], sung: bool, choice: Choice) -> None:
        if sung and any(row.split != SUNG for row in made):
            choice.sung[song] = separator
        elif not sung and any(row.split == SUNG for row in made):
            choice.unsung[song] = separator

    def _score(
        self, facts: Facts, separator: str, made: Sequence[Made], dropped: Sequence[DroppedRow]
    ) -> float | None:
        """The vocal score that is stored, if any."""
        kept = self._known.stems.get((facts.song_id, separator))
        stored = [row.vocal_score for row in made]
        stored += [row.vocal_score for row in dropped if row.vocal_score is not None]
        stored += [kept.vocal_score] if kept is not None else []
        return stored[0] if stored else None

    def _work(
        self, entry: CatalogEntry, facts: Facts, separator: str, made: Sequence[Made], score: float | None
    ) -> Work:
        kept = self._known.stems.get((facts.song_id, separator))
        folder = kept.folder if kept is not None and set(self._layout.names) <= set(kept.stems) else ""
        encode = missing_stems(self._layout, self._identity.codecs, made) if folder else ()
        names = encode or self._layout.names
        lost = folder if (facts.song_id, separator) in self._damaged else ""
        return Work(entry, facts.song_id, facts.seconds, separator, names, "" if lost else folder, score, repair=lost)

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
