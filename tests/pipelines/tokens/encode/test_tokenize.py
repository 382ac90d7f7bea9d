"""The second phase without Ray: results, one song's trouble, given stems, and stems on disk."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio.files import Audio, encode_audio, read_audio
from models.codec.codec import StemCodec
from models.errors import StemsError
from models.separation import Separator
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry, GivenStem
from pipelines.catalog.storage.files import Unreachable
from pipelines.tokens.choose.vocal_rule import VocalRule
from pipelines.tokens.encode.results import (
    TOKENIZED,
    Failed,
    MadeStems,
    SongResult,
    Sung,
    Tokenized,
    result_from_row,
    result_to_row,
)
from pipelines.tokens.encode.steps import SourceSong
from pipelines.tokens.encode.tokenize import SongTokenizer, TokenizerSettings
from pipelines.tokens.songs.inspect import song_id
from pipelines.tokens.songs.kept_stems import as_stored
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.reasons import NOT_WRITTEN
from pipelines.tokens.songs.source import decode
from pipelines.tokens.songs.work import Work

LAYOUT = StemLayout.parse("bass:1,drums:1,other:2")


def settings(models: Any, **changes: Any) -> TokenizerSettings:
    values: dict[str, Any] = {
        "separator": models.separator,
        "codecs": models.codecs,
        "layout": LAYOUT,
        "rule": VocalRule(1.0),
        "limits": SongLimits(0.4, 60.0, 100.0),
        "group_seconds": 60.0,
        "keep_stems": "",
        "device": "cpu",
        "threads": 1,
    }
    return TokenizerSettings(**{**values, **changes})


@pytest.fixture(scope="module")
def parts(tiny_models: Any) -> tuple[Separator, dict[str, StemCodec]]:
    codecs = {name: StemCodec.load(Path(tiny_models.codecs) / name) for name in LAYOUT.names}
    return Separator.load(tiny_models.separator), codecs


def noise(seconds: float, rate: int = 44100, channels: int = 2) -> Audio:
    samples = np.random.default_rng(int(seconds * 1000)).standard_normal((channels, int(seconds * rate)))
    return Audio((0.1 * samples).astype(np.float32), rate)


def song(name: str, audio: Audio, title: str = "", **changes: Any) -> SourceSong:
    entry = CatalogEntry(uri=f"/{name}.wav", fingerprint=name, title=title or name)
    data = encode_audio(audio)
    work = Work(entry, song_id(read_audio(data)), audio.seconds, "sep", LAYOUT.names)
    return SourceSong(replace(work, **changes), {entry.uri: data})


def with_stems(entry: CatalogEntry, blobs: dict[str, bytes]) -> SourceSong:
    """A song that comes with its stems."""
    mix = decode(entry, blobs, SongLimits(0.4, 600.0, 100.0)).mix
    return SourceSong(Work(entry, song_id(mix), mix.seconds, "given", LAYOUT.names), blobs)


def tokenized(result: SongResult) -> Tokenized:
    assert isinstance(result, Tokenized), result
    return result


def made(result: SongResult) -> MadeStems:
    """What was measured of stems that were made for this result."""
    found = tokenized(result).made
    assert found is not None
    return found


def failed(result: SongResult) -> Failed:
    assert isinstance(result, Failed), result
    return result


def test_songs_of_any_rate_and_channels_become_codes(tiny_models: Any, parts: Any) -> None:
    songs = [
        song("a", noise(1.2)),
        song("b", noise(0.7, 22050, 1)),
        song("c", noise(0.5, 48000, 4)),
        song("d", noise(1.0, 32000, 1)),
    ]
    results = SongTokenizer(settings(tiny_models), *parts).process(songs)
    for heard, result in zip(songs, results, strict=True):
        codes, stems = tokenized(result).codes, made(result)
        assert codes.dtype == np.int16
        # 32 kHz and a hop of 640: fifty frames a second, the last one begun.
        assert codes.shape == (4, np.ceil(heard.work.seconds * 50))
        assert codes.max() < 32
        assert len(np.unique(codes)) > 4
        assert 0 < stems.vocal_score < 1
        assert len(stems.stem_loudness) == 3
        assert abs(stems.residual_db) < 3  # this separator has learned nothing
        assert set(result.took) == {"decode", "listen", "separate", "encode"}


def test_songs_do_not_change_each_other(tiny_models: Any, parts: Any) -> None:
    a, b = song("a", noise(1.2)), song("b", noise(0.7))
    together = SongTokenizer(settings(tiny_models), *parts).process([a, b])
    grouped = SongTokenizer(settings(tiny_models, group_seconds=1.0), *parts).process([b, a])
    for one, other in zip(together, reversed(grouped), strict=True):
        np.testing.assert_array_equal(tokenized(one).codes, tokenized(other).codes)
        assert made(one) == made(other)


def test_groups_bound_what_is_in_memory(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    separator, codecs = parts
    listen = separator.listen

    def counted(waves: Sequence[np.ndarray], enough: float) -> Any:
        seen.append(len(waves))
        return listen(waves, enough)

    monkeypatch.setattr(separator, "listen", counted)
    songs = [song(name, noise(seconds)) for name, seconds in (("a", 0.5), ("b", 0.5), ("c", 0.9), ("d", 2.0))]
    SongTokenizer(settings(tiny_models, group_seconds=1.0), separator, codecs).process(songs)
    assert seen == [2, 1, 1]


def test_a_song_is_left_out_before_it_is_separated_where_a_probe_is_enough(tiny_models: Any, parts: Any) -> None:
    separator, codecs = parts
    songs = [song("a", noise(0.5)), song("b", noise(0.6))]
    low, high = sorted((separator.listen([decoded(s)])[0].score, k) for k, s in enumerate(songs))
    tokenizer = SongTokenizer(settings(tiny_models, rule=VocalRule((low[0] + high[0]) / 2)), separator, codecs)
    results = tokenizer.process(songs)
    kept, dropped = results[low[1]], results[high[1]]
    assert isinstance(kept, Tokenized)
    assert isinstance(dropped, Sung)
    assert dropped.decided_by == "score"
    assert dropped.vocal_score == pytest.approx(high[0], rel=1e-4)
    assert "separate" not in dropped.took


def test_a_song_that_is_sung_where_no_probe_listened_is_left_out(
    tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator, codecs = parts
    listen = separator.listen
    monkeypatch.setattr(separator, "listen", lambda waves, _: [replace(p, score=0.0) for p in listen(waves)])
    source = song("a", noise(0.6))
    [score] = separator.vocal_score([decoded(source)])
    [dropped] = SongTokenizer(settings(tiny_models, rule=VocalRule(score / 2)), separator, codecs).process([source])
    assert isinstance(dropped, Sung)
    assert dropped.vocal_score == pytest.approx(score, rel=1e-4)
    assert set(dropped.took) == {"decode", "listen", "separate"}
    [kept] = SongTokenizer(settings(tiny_models, rule=VocalRule(score * 2)), separator, codecs).process([source])
    assert made(kept).vocal_score == pytest.approx(score, rel=1e-4)


def test_the_whole_song_decides_without_one_more_window_through_the_network(
    tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator, codecs = parts
    computed: list[int] = []
    start = separator._networks.start

    def counted(inputs: Any) -> Any:
        computed.append(len(inputs))
        return start(inputs)

    monkeypatch.setattr(separator._networks, "start", counted)
    source = song("a", noise(30.0))
    SongTokenizer(settings(tiny_models), separator, codecs).process([source])
    once = sum(computed)
    computed.clear()
    separator.separate([decoded(source)])
    assert once == sum(computed)


def decoded(source: SourceSong) -> np.ndarray:
    [data] = source.blobs.values()
    return read_audio(data).stereo().samples


def test_a_stored_score_is_not_asked_for_again(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    separator, codecs = parts
    monkeypatch.setattr(separator, "listen", lambda *_: pytest.fail("the song was heard again"))
    tokenizer = SongTokenizer(settings(tiny_models), separator, codecs)
    [result] = tokenizer.process([song("a", noise(0.5), vocal_score=0.25)])
    assert made(result).vocal_score == 0.25
    given = multitrack(0.5)
    stored = replace(given, work=replace(given.work, vocal_score=0.25))
    assert made(tokenizer.process([stored])[0]).vocal_score == 0.25


def multitrack(level: float) -> SourceSong:
    """A song that comes with its bass, its drums and a voice."""
    sounds = {
        name: Audio(gain * noise(0.6 + k / 1000).samples, 44100)
        for k, (name, gain) in enumerate({"bass": 1.0, "drums": 0.5, "vocals": level}.items())
    }
    stems = tuple(GivenStem(name, (f"/song/{name}.wav",)) for name in sounds)
    entry = CatalogEntry(uri="/song", fingerprint="f", title="song", stems=stems)
    blobs = {f"/song/{name}.wav": encode_audio(audio) for name, audio in sounds.items()}
    known = song_id(decode(entry, blobs, SongLimits(0.4, 60.0, 100.0)).mix)
    return SourceSong(Work(entry, known, 0.6, "given", LAYOUT.names), blobs)


def test_given_stems_are_not_separated(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    separator, codecs = parts
    for name in ("listen", "separate"):
        monkeypatch.setattr(separator, name, lambda *_: pytest.fail("given stems were separated"))
    tokenizer = SongTokenizer(settings(tiny_models, rule=VocalRule(0.05)), separator, codecs)
    quiet, sung = tokenizer.process([multitrack(0.001), multitrack(0.5)])
    assert tokenized(quiet).codes.shape[0] == 4
    bass, drums, other = made(quiet).stem_loudness
    assert bass > drums > other == float("-inf")
    assert made(quiet).residual_db < -60
    assert isinstance(sung, Sung)
    assert sung.vocal_score == pytest.approx(0.25 / (1 + 0.25 + 0.25), rel=0.05)


def test_given_and_separated_stems_have_one_score(tiny_models: Any, parts: Any) -> None:
    separator, codecs = parts
    mix = noise(3.0)
    [stems] = separator.separate([mix.samples])
    sounds = {name: Audio(wave, 44100) for name, wave in stems.items()}
    blobs = {f"/song/{name}.wav": encode_audio(audio) for name, audio in sounds.items()}
    given = tuple(GivenStem(name, (f"/song/{name}.wav",)) for name in sounds)
    entry = CatalogEntry("/song/mix.wav", "f", "song", stems=given)
    source = with_stems(entry, {**blobs, "/song/mix.wav": encode_audio(mix)})
    one, other = SongTokenizer(settings(tiny_models), separator, codecs).process([source, song("mix", mix)])
    assert made(one).vocal_score == pytest.approx(made(other).vocal_score, rel=0.02)


def test_a_verse_in_a_given_vocal_stem_is_sung(tiny_models: Any, parts: Any) -> None:
    rate, verse = 8000, slice(100 * 8000, 115 * 8000)
    voice, band = np.zeros((1, 240 * rate), np.float32), noise(240, rate, 1)
    voice[:, verse] = 10 ** (-10 / 20) * noise(15, rate, 1).samples
    sounds = {"bass": band, "vocals": Audio(voice, rate)}
    blobs = {f"/song/{name}.wav": encode_audio(audio) for name, audio in sounds.items()}
    entry = CatalogEntry(
        "/song", "f", "song", stems=tuple(GivenStem(name, (f"/song/{name}.wav",)) for name in sounds)
    )
    source = with_stems(entry, blobs)
    longer = settings(tiny_models, limits=SongLimits(0.4, 600.0, 100.0), rule=VocalRule(0.05))
    [result] = SongTokenizer(longer, *parts).process([source])
    assert isinstance(result, Sung)
    assert result.vocal_score == pytest.approx(1 / 11, rel=0.1)


def test_one_song_fails_alone(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    separator, codecs = parts
    separate = separator.separate

    def fragile(waves: Sequence[np.ndarray], probes: Any) -> Any:
        if any(wave.shape[1] == 44100 for wave in waves):
            raise ZeroDivisionError("one second exactly")
        return separate(waves, probes)

    monkeypatch.setattr(separator, "separate", fragile)
    whole = song("broken", noise(0.5))
    broken = SourceSong(whole.work, {"/broken.wav": b"not audio any more"})
    before, crashed, unreadable, after = SongTokenizer(settings(tiny_models), separator, codecs).process(
        [song("a", noise(0.6)), song("b", noise(1.0)), broken, song("c", noise(0.7))]
    )
    assert (failed(crashed).reason, failed(crashed).message) == ("failed:ZeroDivisionError", "one second exactly")
    assert failed(unreadable).reason == "unreadable"
    assert isinstance(before, Tokenized)
    assert isinstance(after, Tokenized)


def test_a_song_whose_file_was_replaced_gets_no_codes(tiny_models: Any, parts: Any, tmp_path: Path) -> None:
    plain, other, given = song("a", noise(0.6)), song("a", noise(0.7)), multitrack(0.1)
    bass = {"/song/bass.wav": encode_audio(noise(0.55))}
    results = SongTokenizer(settings(tiny_models, keep_stems=str(tmp_path)), *parts).process(
        [SourceSong(plain.work, other.blobs), SourceSong(given.work, {**given.blobs, **bass}), plain, given]
    )
    assert [failed(result).reason for result in results[:2]] == ["changed", "changed"]
    assert all(isinstance(result, Tokenized) for result in results[2:])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        PermissionError("Access Denied"),
        FileNotFoundError("The specified bucket does not exist"),
        Unreachable("s3://stems/x", "503"),
    ],
    ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")),
)
@pytest.mark.parametrize("place", ["s3://bucket/stems", "/media/stems"])
def test_a_place_that_takes_no_stems_is_no_songs_fault(
    tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    def refuse(uri: str, data: bytes) -> None:
        raise error

    monkeypatch.setattr("pipelines.tokens.songs.kept_stems.write_bytes", refuse)
    [result] = SongTokenizer(settings(tiny_models, keep_stems=place), *parts).process([song("a", noise(0.5))])
    assert failed(result).reason == NOT_WRITTEN
    assert f"'{place}'" in failed(result).message


def test_a_full_disk_of_a_worker_is_no_songs_fault(
    tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/part")

    separator, codecs = parts
    monkeypatch.setattr(separator, "separate", full)
    [result] = SongTokenizer(settings(tiny_models), separator, codecs).process([song("a", noise(0.5))])
    assert failed(result).reason == NOT_WRITTEN


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: b"", lambda _: encode_audio(noise(0.3))])
def test_kept_stems_that_are_damaged_are_said_to_be(
    tiny_models: Any, parts: Any, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    kept = song("a", noise(0.6))
    [first] = SongTokenizer(settings(tiny_models, keep_stems=str(tmp_path)), *parts).process([kept])
    blobs = {str(file): file.read_bytes() for file in Path(made(first).folder).iterdir()}
    bass = f"{made(first).folder}/bass.flac"
    work = replace(kept.work, folder=made(first).folder)
    [result] = SongTokenizer(settings(tiny_models), *parts).process(
        [SourceSong(work, {**blobs, bass: damage(blobs[bass])})]
    )
    assert failed(result).reason == "broken_stems"
    assert bass in failed(result).message


def test_models_are_tried_out_on_noise(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    SongTokenizer(settings(tiny_models), *parts).try_out()
    SongTokenizer(settings(tiny_models, separator=""), None, parts[1]).try_out()
    monkeypatch.setattr(parts[1]["bass"], "encode_song", lambda _: pytest.fail("it was tried"))
    with pytest.raises(pytest.fail.Exception, match="it was tried"):
        SongTokenizer(settings(tiny_models), *parts).try_out()


def test_kept_stems_give_the_same_codes_at_any_later_time(tiny_models: Any, parts: Any, tmp_path: Path) -> None:
    tokenizer = SongTokenizer(settings(tiny_models, keep_stems=str(tmp_path)), *parts)
    named = song("a", noise(0.6), title="../a/b: ça\0")
    [first] = tokenizer.process([named])
    [again] = tokenizer.process([named])
    (folder,) = tmp_path.iterdir()
    assert str(folder) == made(first).folder == made(again).folder
    assert folder.name == f"_a_b_ ça_-{named.work.song_id[:12]}-sep"
    assert sorted(file.name for file in folder.iterdir()) == ["bass.flac", "drums.flac", "other.flac"]
    stem = read_audio(folder / "bass.flac")
    assert (stem.rate, stem.samples.shape) == (32000, (1, 19200))

    blobs = {str(file): file.read_bytes() for file in folder.iterdir()}
    work = replace(named.work, folder=str(folder), encode=("other",))
    no_separator = SongTokenizer(settings(tiny_models, separator=""), None, parts[1])
    [later] = no_separator.process([SourceSong(work, blobs)])
    assert tokenized(later).codes.tobytes() == tokenized(first).codes[2:].tobytes()
    assert tokenized(later).made is None  # nothing was measured, so nothing is said: no zeros
    [unkept] = SongTokenizer(settings(tiny_models), *parts).process([named])
    assert tokenized(unkept).codes.tobytes() == tokenized(first).codes.tobytes()


@given(samples=st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=50))
def test_what_is_stored_is_what_a_file_holds(samples: list[float]) -> None:
    stored = as_stored(Audio(np.array([samples], np.float32), 32000))
    read = read_audio(encode_audio(stored, "flac"))
    np.testing.assert_array_equal(read.samples, stored.samples)


def test_models_that_do_not_fit_are_refused(tiny_models: Any, parts: Any) -> None:
    with pytest.raises(StemsError, match="no 'strings'"):
        SongTokenizer(settings(tiny_models, layout=StemLayout.parse("strings:1")), *parts)


@pytest.mark.parametrize(
    "result",
    [
        Tokenized(np.arange(6, dtype=np.int16).reshape(2, 3), 50.0, None, {"encode": 1.0}),
        Tokenized(np.zeros((1, 2), np.int16), 50.0, MadeStems(0.25, (-20.0, float("-inf")), -30.0, "/stems/a")),
        Sung(0.5, "score", {"listen": 2.0}),
        Failed("changed", "It was replaced."),
    ],
)
def test_a_result_comes_back_from_a_worker_as_it_was(result: SongResult) -> None:
    [row] = pa.Table.from_pylist([result_to_row("a", result)], schema=TOKENIZED).to_pylist()
    back = result_from_row(row)
    assert {**vars(back), "codes": None} == {**vars(result), "codes": None}
    if isinstance(result, Tokenized):
        np.testing.assert_array_equal(tokenized(back).codes, result.codes)
        measured = (row["vocal_score"], row["stem_loudness"], row["residual_db"])
        assert result.made or measured == (None, None, None)
