"""What is to be done with each file: whatever the table knows, every file is in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry, GivenStem
from pipelines.table.captions import SongWords
from pipelines.table.schema import GIVEN, DroppedRow, Identity, StemsRow
from pipelines.tokens.choose.choose import Chooser
from pipelines.tokens.choose.decision import Choice
from pipelines.tokens.choose.table_state import EMPTY_STATE, FileFacts, TableState, TokenizedSong
from pipelines.tokens.choose.vocal_rule import VocalRule
from pipelines.tokens.songs.limits import SongLimits

LAYOUT = StemLayout.parse("bass:1,drums:1")
IDENTITY = Identity("sep", "bass=b,drums=d", "5-100 s, 1 MB")


def entry(name: str, *tags: str) -> CatalogEntry:
    return CatalogEntry(uri=f"/{name}.wav", fingerprint=name, title=name, tags=tags)


def facts(name: str, song: str = "", seconds: float = 10.0) -> FileFacts:
    return FileFacts(name, song or f"{name}-song", seconds, 44100, 2, -14.0, 0.0, 0.0)


def made(name: str, song: str = "", **changes: Any) -> TokenizedSong:
    words = SongWords(name, "", ())
    row = TokenizedSong(
        song or f"{name}-song", name, f"/{name}.wav", "sep", IDENTITY.codecs, str(LAYOUT), words, 0.1, "train"
    )
    return replace(row, **changes)


def dropped(name: str, score: float | None = 0.5, by: str = "score", song: str = "") -> DroppedRow:
    read = "" if by.startswith("tag") else song or f"{name}-song"
    return DroppedRow(name, read, f"/{name}.wav", name, (), 10.0, "" if score is None else "sep", score, by)


def known(
    *rows: TokenizedSong | DroppedRow,
    stems: tuple[StemsRow, ...] = (),
    duplicates: tuple[str, ...] = (),
    **other: Any,
) -> TableState:
    songs: dict[str, list[TokenizedSong]] = {}
    files: dict[str, list[DroppedRow]] = {}
    heard: dict[str, list[DroppedRow]] = {}
    for row in rows:
        if isinstance(row, TokenizedSong):
            songs.setdefault(row.song_id, []).append(row)
        else:
            files.setdefault(row.fingerprint, []).append(row)
            if row.song_id:
                heard.setdefault(row.song_id, []).append(row)
    return replace(
        EMPTY_STATE,
        tokenized=songs,
        dropped=files,
        dropped_songs=heard,
        stems={(row.song_id, row.separator): row for row in stems},
        duplicates=frozenset(duplicates),
        **other,
    )


def choose(
    state: TableState, entries: list[CatalogEntry], found: list[FileFacts], threshold: float = 0.2, keep: bool = False
) -> Choice:
    rule = VocalRule(threshold, frozenset({"sung"}))
    chooser = Chooser(state, IDENTITY, LAYOUT, rule, SongLimits(5.0, 100.0, 1.0), keep)
    return chooser.choose(entries, {each.fingerprint: each for each in found})


def test_of_files_with_the_same_audio_the_first_is_the_song() -> None:
    choice = choose(EMPTY_STATE, [entry("a"), entry("b")], [facts("a", "s"), facts("b", "s")])
    assert [work.entry.uri for work in choice.works] == ["/a.wav"]
    [row] = choice.quarantine
    assert (row.uri, row.reason, row.message) == ("/b.wav", "duplicate", "The same audio as '/a.wav'.")


def test_a_file_that_has_tokens_stays_the_song_and_its_twins_are_said_once() -> None:
    entries, found = [entry("a"), entry("b")], [facts("a", "s"), facts("b", "s")]
    choice = choose(known(made("b", "s")), entries, found)
    assert (choice.works, [row.uri for row in choice.quarantine]) == ((), ["/a.wav"])
    state = known(made("b", "s", words=choice.rewording.tokens["s"]), duplicates=("a",))
    assert choose(state, entries, found) == Choice()


def test_a_twin_becomes_the_song_when_the_other_file_is_gone() -> None:
    choice = choose(known(duplicates=("b",)), [entry("b")], [facts("b", "s")])
    assert [work.song_id for work in choice.works] == ["s"]
    assert choice.pardoned == {"b"}


def test_a_catalog_that_moved_has_nothing_to_do_and_new_codecs_reach_it() -> None:
    moved = [entry("new")], [facts("new", "s")]
    assert choose(known(made("old", "s")), *moved) == Choice()
    [work] = choose(known(made("old", "s", codecs="bass=b,drums=other")), *moved).works
    assert work.encode == ("bass", "drums")


def test_of_kept_stems_only_what_changed_is_encoded() -> None:
    stems = StemsRow("a-song", "sep", "/stems/a", ("bass", "drums"), 32000, 10.0, 0.1, (-20.0, -20.0), -30.0)
    state = known(made("a", codecs="bass=b,drums=old"), stems=(stems,))
    [work] = choose(state, [entry("a")], [facts("a")]).works
    assert (work.folder, work.encode, work.vocal_score) == ("/stems/a", ("drums",), 0.1)


def test_stems_are_made_later_where_they_are_wanted_later() -> None:
    state = known(made("a"))
    assert choose(state, [entry("a")], [facts("a")]) == Choice()
    [work] = choose(state, [entry("a")], [facts("a")], keep=True).works
    assert (work.folder, work.encode) == ("", ("bass", "drums"))


def test_a_lower_threshold_leaves_a_song_out_whatever_made_its_codes() -> None:
    for codecs in (IDENTITY.codecs, "bass=other,drums=other"):
        choice = choose(known(made("a", codecs=codecs, vocal_score=0.3)), [entry("a")], [facts("a")])
        assert choice.sung == {("a-song", "sep")}
        assert choice.works == ()
    choice = choose(known(made("a", vocal_score=0.3, split="sung")), [entry("a")], [facts("a")], threshold=0.4)
    assert (choice.unsung, choice.sung) == ({("a-song", "sep")}, set())


def test_a_tag_moves_rows_by_every_separator_and_a_threshold_those_by_its_own() -> None:
    rows = [made("a", vocal_score=0.3), made("a", separator="other", vocal_score=0.3)]
    assert choose(known(*rows), [entry("a")], [facts("a")]).sung == {("a-song", "sep")}
    choice = choose(known(*rows), [entry("a", "sung")], [facts("a")], threshold=0.4)
    assert choice.sung == {("a-song", "sep"), ("a-song", "other")}
    left_out = [replace(row, split="sung", words=choice.rewording.tokens["a-song"]) for row in rows]
    assert choose(known(*left_out), [entry("a")], [facts("a")], threshold=0.4).unsung == choice.sung
    assert choose(known(*left_out), [entry("a")], [facts("a")]).unsung == set()


def test_a_higher_threshold_takes_a_dropped_song_back_with_all_its_rows() -> None:
    state = known(dropped("a"), dropped("twin", song="a-song"))
    assert choose(state, [entry("a")], [facts("a")]) == Choice()
    choice = choose(state, [entry("a")], [facts("a")], threshold=0.6)
    [work] = choice.works
    assert work.vocal_score is None  # what was stored may be of a probe alone: the whole song decides now
    assert choice.readmitted == {("a", "sep"), ("twin", "sep")}


def test_a_tag_that_means_nothing_any_more_leaves_the_score_alone() -> None:
    state = known(*(replace(row, tags=("hummed",)) for row in (dropped("a", None, "tag:hummed"), dropped("a"))))
    chooser = Chooser(state, IDENTITY, LAYOUT, VocalRule(0.2, frozenset({"sung"})), SongLimits(5.0, 100.0, 1.0))
    remain, early = chooser.before_reading([entry("a", "hummed")])
    assert (len(remain), early.readmitted) == (1, {("a", "")})
    assert chooser.choose(remain, {"a": facts("a")}) == Choice()


def test_tags_decide_before_a_file_is_read_and_are_said_once() -> None:
    chooser = Chooser(EMPTY_STATE, IDENTITY, LAYOUT, VocalRule(0.2, frozenset({"sung"})), SongLimits(5.0, 100.0, 1.0))
    remain, early = chooser.before_reading([entry("a", "Sung"), entry("b", "calm")])
    assert [each.uri for each in remain] == ["/b.wav"]
    [row] = early.dropped
    assert (row.uri, row.decided_by, row.vocal_score) == ("/a.wav", "tag:sung", None)
    state = known(replace(dropped("a", None, "tag:sung"), tags=("Sung",)))
    chooser = Chooser(state, IDENTITY, LAYOUT, VocalRule(0.2, frozenset({"sung"})), SongLimits(5.0, 100.0, 1.0))
    assert chooser.before_reading([entry("a", "Sung")]) == ([], Choice())


def test_tighter_limits_concern_songs_without_tokens() -> None:
    state = known(made("a"))
    choice = choose(state, [entry("a"), entry("b")], [facts("a", seconds=1.0), facts("b", seconds=1.0)])
    assert [(row.uri, row.reason) for row in choice.quarantine] == [("/b.wav", "too_short")]
    assert choice.works == ()


def test_a_song_that_was_taken_down_is_set_aside_under_any_name() -> None:
    state = known(removed_songs=frozenset({"s"}))
    choice = choose(state, [entry("a")], [facts("a", "s")])
    assert [row.reason for row in choice.quarantine] == ["removed"]


@given(st.data())
def test_every_file_is_in_exactly_one_place(data: st.DataObject) -> None:
    names = "abcdef"
    songs = {name: data.draw(st.sampled_from("xyz")) for name in names}
    rows: list[TokenizedSong | DroppedRow] = []
    for name in names:
        if data.draw(st.booleans()):
            rows.append(made(name, songs[name], vocal_score=data.draw(st.sampled_from((0.1, 0.3)))))
        if data.draw(st.booleans()):
            rows.append(dropped(name, data.draw(st.sampled_from((0.1, 0.5))), song=songs[name]))
    state = known(*rows, duplicates=tuple(name for name in names if data.draw(st.booleans())))
    found = [facts(name, songs[name]) for name in names]
    choice = choose(state, [entry(name) for name in names], found, data.draw(st.sampled_from((0.2, 0.4))))
    places = [work.entry.fingerprint for work in choice.works]
    places += [row.fingerprint for row in choice.dropped] + [row.fingerprint for row in choice.quarantine]
    assert len(places) == len(set(places))
    assert len({work.song_id for work in choice.works}) == len(choice.works)
    for work in choice.works:
        heard = {(row.fingerprint, row.separator) for row in state.dropped_songs.get(work.song_id, ())}
        assert heard <= choice.readmitted
        assert all(row.codecs != IDENTITY.codecs for row in state.tokenized.get(work.song_id, ()))


def test_songs_of_another_separation_are_made_again_and_those_with_given_stems_are_not() -> None:
    multitrack = replace(entry("m"), stems=(GivenStem("bass", ("/m/bass.wav",)),))
    earlier = known(made("a", separator="sep-before"), made("m", separator=GIVEN))
    choice = choose(earlier, [entry("a"), multitrack], [facts("a"), facts("m")])
    [work] = choice.works
    assert (work.song_id, work.vocal_score) == ("a-song", None)


def test_of_several_bounds_of_a_dropped_song_the_highest_decides() -> None:
    state = known(dropped("a", score=0.15), dropped("twin", score=0.5, song="a-song"))
    assert choose(state, [entry("a")], [facts("a")]).works == ()
