"""Folders that are written whole, replace ours, and leave those of others alone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.small_disk import small_disk
from helpers.tiny import tiny_assembly_directory, tiny_codec, tiny_lm

from models.errors import StemsError
from models.files import output_folder, partial
from models.files.output_folder import check_folder, replacing
from models.files.output_listing import LIST, is_model, is_song
from models.files.partial import OLD, clean_up, hidden
from models.files.storage import storage_error


def write(folder: Path, *names: str) -> None:
    with replacing(folder) as new:
        for name in names:
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(name)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {LIST}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_we_wrote_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", "a", "deep/b")
    check_folder(tmp_path / "out")
    write(tmp_path / "out", "c")
    assert names(tmp_path / "out") == {"c"}
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("other", ["notes.txt", "deep/mine.wav", ".hidden"])
def test_one_file_of_others_among_ours_is_enough_to_refuse(tmp_path: Path, other: str) -> None:
    write(tmp_path / "out", "a", "deep/b")
    (tmp_path / "out" / other).write_text("mine")
    with pytest.raises(StemsError, match=other.replace(".", r"\.")) as refused:
        check_folder(tmp_path / "out", "folder")
    assert refused.value.field == "folder"
    (tmp_path / "out" / other).unlink()
    (tmp_path / "out" / "Bounces").mkdir()
    with pytest.raises(StemsError, match="Bounces"):
        check_folder(tmp_path / "out")


def test_what_file_managers_leave_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path / "out", "a", "deep/b")
    for place in ("out/.DS_Store", "out/deep/Thumbs.db"):
        (tmp_path / place).touch()
    check_folder(tmp_path / "out")


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "out", "a")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "out") as new:
        (new / "b").write_text(str(1 / 0))
    assert names(tmp_path / "out") == {"a"}
    assert listing(tmp_path) == ["out"]


def test_files_that_came_meanwhile_are_kept_and_so_is_the_result(tmp_path: Path) -> None:
    def meanwhile() -> None:
        with replacing(tmp_path / "out") as new:
            (new / "song").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "mine").touch()

    with pytest.raises(StemsError, match="out-2"):
        meanwhile()
    assert names(tmp_path / "out") == {"mine"}
    assert names(tmp_path / "out-2") == {"song"}


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("last", range(4))
def test_the_old_or_the_new_is_there_whenever_the_process_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool, last: int
) -> None:
    """Each of the renames is the last thing that a process does."""
    if not exchange:
        monkeypatch.setattr(output_folder, "_exchange", lambda *_: False)
    write(tmp_path / "out", "old")
    monkeypatch.setattr(partial, "_this", lambda: "999999999-1")  # a process that is no more
    done, rename = iter(range(10)), Path.rename

    def dying(self: Path, target: Path) -> Path:
        if next(done) == last:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", dying)
        patched.setattr(output_folder, "discard", lambda _: None)
        with suppress(KeyboardInterrupt):
            write(tmp_path / "out", "new")
    clean_up(tmp_path / "out")
    assert names(tmp_path / "out") in ({"old"}, {"new"})
    assert listing(tmp_path) == ["out"]


def test_a_mounted_folder_and_the_one_where_the_shell_stands_are_filled_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    write(Path(), "a", "deep/b")
    write(Path(), "a", "c")
    assert set(listing(Path())) == {"a", "c", LIST}
    with small_disk(tmp_path / "mount", "1m") as disk:
        write(disk, "a", "deep/b")
        write(disk, "c")
        assert set(listing(disk)) == {"c", LIST}


def test_songs_of_earlier_releases_are_known_by_their_manifest(tmp_path: Path) -> None:
    common = {"seed": 1, "model": "d", "sample_rate": 32_000, "prompt": ""}
    generated = {**common, "stems": ["bass", "drums"], "layout": "bass:1,drums:1", "gain": 1.0}
    served = {**common, "version": 1, "stems": [{"name": "bass", "file": "bass.flac"}], "mix": "mix.flac"}
    for number, (said, files) in enumerate(
        [(generated, ["bass.wav", "drums.wav", "mix.wav", "codes.npy"]), (served, ["bass.flac", "mix.flac"])]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in files:
            (folder / name).touch()
        (folder / "manifest.json").write_text(json.dumps(said))
        assert is_song(folder)
        assert not is_model(folder)
        (folder / "vocals.wav").touch()
        assert not is_song(folder)


@pytest.mark.parametrize(
    "said", ["{}", "[]", "no json", '{"name": "a web page", "icons": []}', '{"files": ["mix.wav"]}']
)
def test_a_manifest_of_others_lists_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / "mix.wav").touch()
    (tmp_path / "manifest.json").write_text(said)
    assert not is_song(tmp_path)
    assert not is_model(tmp_path)


def test_models_of_earlier_releases_are_known_by_their_readme_and_names(tmp_path: Path) -> None:
    tiny_assembly_directory(tmp_path / "model")
    tiny_codec(1).save(tmp_path / "codec")
    tiny_lm().save(tmp_path / "lm")
    for name in ("model", "model/separator", "codec", "lm"):
        assert is_model(tmp_path / name), name
        (tmp_path / name / "notes.txt").touch()
        assert not is_model(tmp_path / name), name
        (tmp_path / name / "notes.txt").unlink()
    (tmp_path / "codec" / "README.md").write_text("# My own EnCodec\n")
    assert not is_model(tmp_path / "codec")


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from models.files.output_folder import replacing
with replacing(Path({str(tmp_path / "song")!r})) as new:
    (new / "half").touch()
    os._exit(9)
"""
    subprocess.run([sys.executable, "-c", script], timeout=100)
    (tmp_path / ".song.partial").touch()  # others may have such a name
    (tmp_path / ".other.12.partial").mkdir()
    assert len(listing(tmp_path)) == 3
    check_folder(tmp_path / "song")
    assert listing(tmp_path) == [".other.12.partial", ".song.partial"]


def test_what_living_processes_and_other_machines_are_writing_stays_for_a_day(tmp_path: Path) -> None:
    song = tmp_path / "song"
    ours = hidden(song)
    elsewhere = tmp_path / ".song.01234567-1-1-0.partial"
    earlier = tmp_path / f".song.{os.getpid()}.partial"
    for folder in (ours, elsewhere, earlier):
        folder.mkdir()
    clean_up(song)
    assert ours.exists() and elsewhere.exists() and earlier.exists()  # noqa: PT018
    clean_up(song, now=time.time() + 25 * 3600)
    assert listing(tmp_path) == [ours.name]


def test_a_process_id_that_was_given_again_does_not_keep_leftovers(tmp_path: Path) -> None:
    song = tmp_path / "song"
    fresh = hidden(song)
    here, pid, start, count = fresh.name.split(".")[2].split("-")
    left = tmp_path / f".song.{here}-{pid}-{int(start) - 1000}-{count}.partial"
    left.mkdir()
    clean_up(song)
    assert not left.exists()


def test_what_a_process_moved_away_before_it_died_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "song", "a")
    monkeypatch.setattr(partial, "_this", lambda: "999999999-1")
    (tmp_path / "song").rename(hidden(tmp_path / "song", OLD))
    monkeypatch.undo()
    check_folder(tmp_path / "song")
    assert names(tmp_path / "song") == {"a"}


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    write(tmp_path / "real", "a")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "b")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == {"b"}
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StemsError, match="circle"):
        check_folder(tmp_path / "circle")


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "The disk of '{}' is full: about 2.5 MB are needed"), (errno.EDQUOT, "quota on '{}' is used up")],
)
def test_a_full_disk_names_the_folder_and_the_room(tmp_path: Path, number: int, said: str) -> None:
    told = storage_error(OSError(number, "x"), tmp_path, needs=2.5e6)
    assert told is not None
    assert said.format(tmp_path) in told.message
    assert told.code == "storage"


def test_errors_of_other_things_are_left_as_they_are(tmp_path: Path) -> None:
    for error in (RuntimeError("x"), FileNotFoundError(2, "x"), PermissionError(13, "x", "/proc/1/mem")):
        assert storage_error(error, tmp_path / "out") is None
    told = storage_error(OSError(errno.EROFS, "x", str(tmp_path / "out" / "a")), tmp_path / "out")
    assert told is not None
    assert "read-only" in told.message


def test_a_disk_that_fills_up_keeps_the_old_and_nothing_of_the_new(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "400k") as disk:
        write(disk / "song", "a")
        with pytest.raises(StemsError, match=r"about 1\.0 MB are needed"), replacing(disk / "song", 1e6) as new:
            (new / "b").write_bytes(bytes(1_000_000))
        assert names(disk / "song") == {"a"}
        assert listing(disk) == ["song"]
        write(disk / "song", "c")
        assert names(disk / "song") == {"c"}
