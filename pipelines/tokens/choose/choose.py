"""What to do with each file: a pure function of the catalog, the table's state, and the rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.table.captions import SongWords, with_words
from pipelines.table.schema import GIVEN, DroppedRow, Identity, QuarantineRow
from pipelines.table.splits import SUNG
from pipelines.tokens.choose.decision import Choice, Decision, dropped_row
from pipelines.tokens.choose.reword import Listed, reworded_drops, rewording, words_by_song
from pipelines.tokens.choose.table_state import FileFacts, SongState, TableState
from pipelines.tokens.choose.vocal_rule import VocalRule
from pipelines.tokens.songs.limits import SongLimits, length_problem
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED
from pipelines.tokens.songs.work import Work


class Chooser:
    """Decides file by file. Of files with the same audio, one is the song: a file that has tokens, else the first.

    The song's words are those of the first such file in the catalog's order.

    Args:
        state: of the table.
        identity: of the run.
        layout: stems in stream order.
        rule: what makes a song count as sung.
        limits: length and size that a song may have.
        keep: separate songs again whose stems are not kept, to keep them.
        damaged: song and separator of kept stems that are gone or damaged; they are made again in their place.
    """

    def __init__(
        self,
        state: TableState,
        identity: Identity,
        layout: StemLayout,
        rule: VocalRule,
        limits: SongLimits,
        keep: bool = False,
        damaged: Collection[tuple[str, str]] = (),
    ) -> None:
        self._state, self._identity, self._layout = state, identity, layout
        self._rule, self._limits, self._keep, self._damaged = rule, limits, keep, damaged

    def before_reading(self, entries: Sequence[CatalogEntry]) -> tuple[list[CatalogEntry], Choice]:
        """Decide what can be decided without opening a file; return the other entries, and these decisions."""
        remain: list[CatalogEntry] = []
        decisions: list[Decision] = []
        tagged: list[tuple[DroppedRow, CatalogEntry]] = []
        for entry in entries:
            if entry.fingerprint in self._state.quarantined:
                continue
            rows = [row for row in self._state.dropped.get(entry.fingerprint, ()) if not row.song_id]
            by_tag = self._rule.by_tag(entry.tags)
            if by_tag and entry.fingerprint not in self._state.facts:
                row = DroppedRow(entry.fingerprint, "", entry.uri, entry.title, entry.tags, 0.0, "", None, by_tag)
                decisions.append(Decision(None if rows else row))
                tagged += [(row, entry) for row in rows]
            else:
                back = frozenset((row.fingerprint, row.separator) for row in rows)
                decisions.append(Decision(readmitted=back))
                remain.append(entry)
        return remain, Choice.of(decisions, reworded_drops(tagged, self._rule))

    def choose(self, entries: Sequence[CatalogEntry], facts: Mapping[str, FileFacts]) -> Choice:
        """Decide on the entries whose sound is known; the others are left out.

        Of files in the quarantine, only their words count.
        """
        files = [(entry, facts[entry.fingerprint]) for entry in entries if entry.fingerprint in facts]
        words = words_by_song(files, self._state)
        usable = [(entry, found) for entry, found in files if entry.fingerprint not in self._state.quarantined]
        owners = self._owners(usable)
        decisions = [
            self._decide(entry, found, owners[found.song_id], words[found.song_id]) for entry, found in usable
        ]
        return Choice.of(decisions, rewording(files, words, self._state, self._rule))

    def _owners(self, files: Listed) -> dict[str, CatalogEntry]:
        """The entry that is the song, of those with its audio."""
        owners: dict[str, CatalogEntry] = {}
        for entry, facts in files:
            named = {row.fingerprint for row in self._state.tokenized.get(facts.song_id, ())}
            owner = owners.setdefault(facts.song_id, entry)
            if entry.fingerprint in named and owner.fingerprint not in named:
                owners[facts.song_id] = entry
        return owners

    def _decide(self, entry: CatalogEntry, facts: FileFacts, owner: CatalogEntry, words: SongWords) -> Decision:
        if facts.song_id in self._state.removed_songs:
            return Decision(self._aside(entry, facts, REMOVED, f"'{entry.uri}' was taken down."))
        if owner.fingerprint != entry.fingerprint:
            if entry.fingerprint in self._state.duplicates:
                return Decision()
            return Decision(self._aside(entry, facts, DUPLICATE, f"The same audio as '{owner.uri}'."))
        separator = GIVEN if entry.stems else self._identity.separator
        song = self._state.song(facts.song_id, separator)
        by_rule = self._rule.decide(words.tags, song.lower_bound)
        if by_rule:
            action: Work | DroppedRow | QuarantineRow | None = self._drop(entry, facts, separator, song, by_rule)
        else:
            action = self._tokenize(entry, facts, separator, song, words)
        moved = self._moved(facts.song_id, separator, bool(by_rule), words)
        back = frozenset((row.fingerprint, row.separator) for row in song.dropped)
        waits = entry.fingerprint in self._state.duplicates and not song.has_codes_by(self._identity.codecs)
        return Decision(
            action=action,
            sung=frozenset(key for key, sung in moved.items() if sung),
            unsung=frozenset(key for key, sung in moved.items() if not sung),
            readmitted=frozenset() if by_rule else back,
            pardoned=entry.fingerprint if waits else "",
        )

    def _drop(
        self, entry: CatalogEntry, facts: FileFacts, separator: str, song: SongState, by_rule: str
    ) -> DroppedRow | None:
        """The row of a sung song that is new to the table: one with tokens is left out by its split."""
        dropped = any(row.fingerprint == entry.fingerprint for row in song.dropped)
        if dropped or song.has_codes_by(self._identity.codecs):
            return None
        return dropped_row(entry, facts, separator, song.lower_bound, by_rule)

    def _tokenize(
        self, entry: CatalogEntry, facts: FileFacts, separator: str, song: SongState, words: SongWords
    ) -> Work | QuarantineRow | None:
        damaged = (facts.song_id, separator) in self._damaged
        if song.has_codes_by(self._identity.codecs):
            if not self._keep or (song.kept is not None and not damaged):
                return None
        elif problem := length_problem(entry.uri, facts.seconds, self._limits):
            return self._aside(entry, facts, problem.code, str(problem))
        work = song.work(with_words(entry, words), facts, separator, self._layout, self._identity.codecs)
        return replace(work, folder="", repair=work.folder) if damaged else work

    def _moved(self, song: str, separator: str, sung: bool, words: SongWords) -> dict[tuple[str, str], bool]:
        """Rows of tokens to move, by song and separator: True to leave them out, False to take them back.

        Rows by the run's separator follow the rule; a new tag, or one taken back, moves rows by others as well.
        """
        moved: dict[tuple[str, str], bool] = {}
        for row in self._state.tokenized.get(song, ()):
            if row.separator == separator:
                left_out = sung
            elif self._rule.by_tag(words.tags) or self._rule.by_tag(row.words.tags):
                left_out = bool(self._rule.decide(words.tags, row.vocal_score))
            else:
                continue
            if left_out != (row.split == SUNG):
                moved[song, row.separator] = left_out or moved.get((song, row.separator), False)
        return moved

    def _aside(self, entry: CatalogEntry, facts: FileFacts, reason: str, message: str) -> QuarantineRow:
        return QuarantineRow(
            entry.uri, entry.fingerprint, reason, message, facts.song_id, limits=self._identity.limits
        )
