"""What is to be done: a pure function of the catalog, of what the table knows, and of the rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.table.captions import SongWords, speaks_for, with_words, words_from_elsewhere, words_of
from pipelines.table.schema import GIVEN, DroppedRow, Identity, QuarantineRow
from pipelines.table.splits import SUNG
from pipelines.tokens.choose.table_state import Facts, Known, Made, codec_by_stem
from pipelines.tokens.choose.vocal_rule import VocalRule
from pipelines.tokens.songs.limits import Limits, length_problem
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED
from pipelines.tokens.songs.work import Work


@dataclass
class Choice:
    """What a run is to do with the files of a catalog.

    Attributes:
        works: songs to tokenize.
        dropped: songs that are sung by what is known of them.
        quarantine: files that are set aside for what is known of them.
        sung: song and separator of rows of tokens that the rule in force leaves out.
        unsung: of such rows that it takes back.
        readmitted: file and separator of dropped songs that the rule in force takes back.
        pardoned: files that were duplicates, and are songs now that the others are gone.
        words: of songs whose rows of tokens say something else, by song.
        entries: of files whose row in the catalog says something else, by fingerprint, as JSON.
        redropped: rows of dropped songs that say something else, as they are to be, by file and separator.
        reworded: all that these three are about: songs, and fingerprints of files that were never read.
    """

    works: list[Work] = field(default_factory=list)
    dropped: list[DroppedRow] = field(default_factory=list)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    sung: set[tuple[str, str]] = field(default_factory=set)
    unsung: set[tuple[str, str]] = field(default_factory=set)
    readmitted: set[tuple[str, str]] = field(default_factory=set)
    pardoned: set[str] = field(default_factory=set)
    words: dict[str, SongWords] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)
    redropped: dict[tuple[str, str], DroppedRow] = field(default_factory=dict)
    reworded: set[str] = field(default_factory=set)


class Chooser:
    """Decides song by song. Of files with the same audio, one is the song: one that has tokens, else the first.

    What is said of the song is what is said of the first of them, in the catalog's order.

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
                self._redrop(entry, said, choice)
                continue
            choice.readmitted.update((row.fingerprint, row.separator) for row in said)
            remain.append(entry)
        return remain, choice

    def choose(self, entries: Sequence[CatalogEntry], facts: Mapping[str, Facts]) -> Choice:
        """What to do with entries whose facts are known; the others are left out.

        Of files in the quarantine, only what is said of them counts.
        """
        choice = Choice()
        there = [(entry, facts[entry.fingerprint]) for entry in entries if entry.fingerprint in facts]
        words = self._reword(there, choice)
        there = [(entry, found) for entry, found in there if entry.fingerprint not in self._known.quarantined]
        owners = self._owners(there)
        for entry, found in there:
            if found.song_id in self._known.removed_songs:
                self._set_aside(entry, found, REMOVED, f"'{entry.uri}' was taken down.", choice)
            elif owners[found.song_id].fingerprint != entry.fingerprint:
                self._duplicate(entry, found, owners[found.song_id].uri, choice)
            else:
                self._song(entry, found, words[found.song_id], choice)
        return choice

    def _reword(self, there: Sequence[tuple[CatalogEntry, Facts]], choice: Choice) -> dict[str, SongWords]:
        """Note which rows say something else than the catalog does now; the words of each song."""
        files: dict[str, list[CatalogEntry]] = {}
        for entry, facts in there:
            files.setdefault(facts.song_id, []).append(entry)
            heard = [row for row in self._known.dropped.get(entry.fingerprint, ()) if row.song_id]
            self._redrop(entry, heard, choice)
            stored = self._known.files.get(entry.fingerprint)
            if stored is not None and stored.words != words_of(entry):
                choice.entries[entry.fingerprint] = entry_to_json(entry)
                choice.reworded.add(facts.song_id)
        words = {song: self._words_of_song(song, entries) for song, entries in files.items()}
        for song, said in words.items():
            if any(row.words != said for row in self._known.made.get(song, ())):
                choice.words[song] = said
                choice.reworded.add(song)
        return words

    def _words_of_song(self, song: str, entries: Sequence[CatalogEntry]) -> SongWords:
        first, made = entries[0], self._known.made.get(song, ())
        if not made or speaks_for(entries, {row.fingerprint for row in made}, {row.uri for row in made}):
            return words_of(first)
        stored = self._known.files.get(first.fingerprint)
        return words_from_elsewhere(first, stored.words if stored else None, made[0].words)

    def _redrop(self, entry: CatalogEntry, rows: Sequence[DroppedRow], choice: Choice) -> None:
        for row in rows:
            if (row.title, row.tags) != (entry.title, entry.tags):
                by = self._rule.decide(entry.tags, row.vocal_score) or row.decided_by
                choice.redropped[row.fingerprint, row.separator] = replace(
                    row, title=entry.title, tags=entry.tags, decided_by=by
                )
                choice.reworded.add(row.song_id or row.fingerprint)

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

    def _song(self, entry: CatalogEntry, facts: Facts, words: SongWords, choice: Choice) -> None:
        separator = GIVEN if entry.stems else self._identity.separator
        made = [row for row in self._known.made.get(facts.song_id, ()) if row.separator == separator]
        mine = [row for row in made if row.codecs == self._identity.codecs]
        dropped = [
            row for row in self._known.dropped_songs.get(facts.song_id, ()) if row.separator in ("", separator)
        ]
        whole = self._score(facts, separator, made)
        # Of a dropped song the table may have a lower bound alone (models.separation.probe): enough to drop it again.
        heard = [row.vocal_score for row in dropped if row.vocal_score is not None]
        score = whole if whole is not None else max(heard, default=None)
        sung = self._rule.decide(words.tags, score)
        if entry.fingerprint in self._known.duplicates and not mine:
            choice.pardoned.add(entry.fingerprint)
        self._resplit(facts.song_id, separator, bool(sung), words, choice)
        if sung:
            if not mine and all(row.fingerprint != entry.fingerprint for row in dropped):
                choice.dropped.append(dropped_row(entry, facts, separator, score, sung))
        elif mine:
            key = (facts.song_id, separator)
            if self._keep and (key not in self._known.stems or key in self._damaged):
                choice.works.append(self._work(with_words(entry, words), facts, separator, made, whole))
        elif problem := length_problem(entry.uri, facts.seconds, self._limits):
            self._set_aside(entry, facts, problem.code, str(problem), choice)
        else:
            choice.works.append(self._work(with_words(entry, words), facts, separator, made, whole))
        if not sung:
            choice.readmitted.update((row.fingerprint, row.separator) for row in dropped)

    def _resplit(self, song: str, separator: str, sung: bool, words: SongWords, choice: Choice) -> None:
        """Rows by the run's separator follow the rule; a tag, new or taken back, moves those by others as well."""
        for row in self._known.made.get(song, ()):
            if row.separator == separator:
                left_out = sung
            elif self._rule.by_tag(words.tags) or self._rule.by_tag(row.words.tags):
                left_out = bool(self._rule.decide(words.tags, row.vocal_score))
            else:
                continue
            if left_out != (row.split == SUNG):
                (choice.sung if left_out else choice.unsung).add((song, row.separator))

    def _score(self, facts: Facts, separator: str, made: Sequence[Made]) -> float | None:
        """The vocal score of the whole song that is stored with its tokens or stems, if any."""
        kept = self._known.stems.get((facts.song_id, separator))
        stored = [row.vocal_score for row in made] + ([kept.vocal_score] if kept is not None else [])
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
