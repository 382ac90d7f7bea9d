"""The songs of a token table, found by index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from helpers.rows import song_row
from helpers.s3 import Bucket
from helpers.s3_proxy import Faults

from models.errors import StemsError
from pipelines.table.token_table import TokenTable
from pipelines.training.lm.song_table import SongSet, open_songs, select_songs


@pytest.fixture(scope="module")
def songs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SongSet:
    return open_songs(select_songs(str(data / "tokens"), None), tmp_path_factory.mktemp("songs"))


def test_an_index_is_a_song_whatever_the_tables_order(songs: SongSet) -> None:
    assert [song.song_id for song in songs.train] == [f"song-{n}" for n in (1, 2, 3, 5, 6, 7)]
    assert [song.song_id for song in songs.valid] == ["song-0", "song-4"]
    assert songs.train[3].caption == "song 5"
    assert songs.train[-1].song_id == "song-7"
    assert [song.song_id for song in songs.train[2:4]] == ["song-3", "song-5"]
    np.testing.assert_array_equal(songs.train[3].codes, song_row(5, "", "").codes)
    assert songs.train[3].codes.dtype == np.int16


def test_codes_are_looked_at_and_not_copied(songs: SongSet) -> None:
    first, again = songs.train[0].codes, songs.train[0].codes
    assert np.shares_memory(first, again)
    assert not first.flags.writeable


def test_the_copy_is_made_once_for_all(data: Path, tmp_path: Path) -> None:
    chosen = select_songs(str(data / "tokens"), None)
    open_songs(chosen, tmp_path)
    [file] = tmp_path.iterdir()
    made = file.stat()
    assert len(open_songs(chosen, tmp_path).train) == 6
    assert [other.stat() for other in tmp_path.iterdir()] == [made]


def test_songs_are_chosen_by_version_and_codecs(data: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "tokens")
    table = TokenTable(root)
    table.create()
    table.commit_tokens([song_row(0, "bass=a,drums=b,other=c", "train")])
    table.commit_tokens([song_row(1, "bass=z,drums=b,other=c", "train")])
    codecs = {"bass": "a", "drums": "b", "other": "c"}
    first, both, chosen = select_songs(root, 1), select_songs(root, 2, codecs), select_songs(root, None, codecs)
    assert [song.song_id for song in open_songs(first, tmp_path).train] == ["song-0"]
    assert [song.song_id for song in open_songs(both, tmp_path).train] == ["song-0"]
    assert chosen == both
    with pytest.raises(StemsError, match="2 sets of codecs"):
        select_songs(root, None)
    with pytest.raises(StemsError, match="stems prepare"):
        select_songs(root, None, codecs | {"bass": "none"})


def test_a_table_without_training_songs_says_so(tmp_path: Path) -> None:
    table = TokenTable(str(tmp_path / "tokens"))
    table.create()
    table.commit_tokens([song_row(0, "bass=a,drums=b,other=c", "valid")])
    with pytest.raises(StemsError, match="no training songs"):
        open_songs(select_songs(str(tmp_path / "tokens"), None), tmp_path)


def test_a_table_in_an_object_store_is_copied_whole_through_faults(s3: Bucket, tmp_path: Path) -> None:
    root = f"{s3.uri}/tokens"
    table = TokenTable(root)
    table.create()
    for some in (range(0, 4), range(4, 8)):
        table.commit_tokens([song_row(n, "bass=a,drums=b,other=c", "valid" if n % 4 == 0 else "train") for n in some])
    with s3.server.failing(Faults(1, errors=0.1, slow=0.1, cut=0.1, stalls=0.02)) as injected:
        songs = open_songs(select_songs(root, None), tmp_path)
    assert injected
    assert [song.song_id for song in songs.train] == [f"song-{n}" for n in (1, 2, 3, 5, 6, 7)]
    assert [song.song_id for song in songs.valid] == ["song-0", "song-4"]
    np.testing.assert_array_equal(songs.train[3].codes, song_row(5, "", "").codes)


def test_sung_songs_are_left_alone(tmp_path: Path) -> None:
    table = TokenTable(str(tmp_path / "tokens"))
    table.create()
    splits = ("train", "valid", "sung", "train")
    table.commit_tokens([song_row(n, "bass=a,drums=b,other=c", split) for n, split in enumerate(splits)])
    songs = open_songs(select_songs(str(tmp_path / "tokens"), None), tmp_path / "songs")
    assert [song.song_id for song in [*songs.train, *songs.valid]] == ["song-0", "song-3", "song-1"]
    [copy] = (tmp_path / "songs").iterdir()
    assert len(pa.ipc.open_file(pa.memory_map(str(copy))).read_all()) == 3
