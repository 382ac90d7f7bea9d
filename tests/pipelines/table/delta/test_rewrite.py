"""New words for many rows: some thousand a commit, whatever is killed, and not one code is touched."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.processes import PROCESSES
from helpers.rows import song_row
from helpers.tables import keyed

from pipelines.table import keyed_table
from pipelines.table.captions import SongWords
from pipelines.table.delta import commit as delta_commit
from pipelines.table.delta.commit import CommitStep
from pipelines.table.token_table import TokenTable

SONGS, PER_COMMIT = 600, 100
WORDS = {f"song-{k}": SongWords(f"Song {k}", f"caption {k}", ("calm",)) for k in range(SONGS)}


def filled(root: Path) -> TokenTable:
    """Songs in files of 20 rows."""
    table = TokenTable(str(root))
    table.create()
    for start in range(0, SONGS, 20):
        table.commit_tokens([song_row(k, "bass=1", "train", frames=40 + k % 7) for k in range(start, start + 20)])
    return table


def update(root: str, die_at: tuple[int, CommitStep]) -> None:
    """Give all songs new words; the process kills itself at a step of one of the commits."""
    commits = 0

    def passed(step: CommitStep) -> None:
        nonlocal commits
        commits += step == CommitStep.PLANNED
        if (commits, step) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    delta_commit.passed = passed
    keyed_table._REWRITTEN_ROWS = PER_COMMIT
    TokenTable(root).revise_songs(WORDS, {})


def said(rows: pa.Table) -> dict[str, SongWords]:
    return {row["song_id"]: SongWords(row["title"], row["caption"], tuple(row["tags"])) for row in rows.to_pylist()}


def test_an_update_that_is_killed_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled(tmp_path / "table")
    before, version = table.rows().sort_by("song_id"), table.version
    process = PROCESSES.Process(target=update, args=(table.root, (3, CommitStep.FILE_BEGUN)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    halfway = said(table.rows(columns=["song_id", "title", "caption", "tags"]))
    assert sum(halfway[song] == words for song, words in WORDS.items()) == 2 * PER_COMMIT

    monkeypatch.setattr(keyed_table, "_REWRITTEN_ROWS", PER_COMMIT)
    table.revise_songs(WORDS, {})
    after = table.rows().sort_by("song_id")
    assert said(after) == WORDS
    untouched = [name for name in before.column_names if name not in ("title", "caption", "tags")]
    assert after.select(untouched) == before.select(untouched)
    assert table.version == version + SONGS // PER_COMMIT
    table.revise_songs(WORDS, {})
    assert table.version == version + SONGS // PER_COMMIT


def test_a_song_that_is_taken_down_while_words_are_written_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, rival = filled(tmp_path / "table"), TokenTable(str(tmp_path / "table"))
    monkeypatch.setattr(keyed_table, "_REWRITTEN_ROWS", PER_COMMIT)
    removed = [f"song-{k}" for k in range(0, SONGS, 100)]
    commits = 0

    def passed(step: CommitStep) -> None:
        nonlocal commits
        commits += step == CommitStep.FILE_WRITTEN
        if commits == 2:
            monkeypatch.setattr(delta_commit, "passed", lambda step: None)
            keyed(rival, "tokens").delete("song_id", removed)
            keyed(rival, "tokens").compact()

    monkeypatch.setattr(delta_commit, "passed", passed)
    table.revise_songs(WORDS, {})
    assert said(table.rows()) == {song: words for song, words in WORDS.items() if song not in removed}
