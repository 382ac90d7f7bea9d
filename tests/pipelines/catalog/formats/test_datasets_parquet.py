"""Parquet as `datasets` writes it, with audio inside."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.trees import put_sound

from models.errors import StemsError
from pipelines.catalog.load import import_catalog


def test_audio_inside_has_to_be_written_to_files_which_the_mend_does(tmp_path: Path) -> None:
    sound = put_sound(tmp_path / "elsewhere" / "x.wav").read_bytes()
    rows = [{"audio": {"bytes": sound, "path": f"{name}.wav"}, "text": f"song {name}"} for name in "ab"]
    folder = tmp_path / "set"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-0.parquet")
    with pytest.raises(StemsError, match="holds its audio inside") as error:
        import_catalog(str(folder / "train-0.parquet"))
    command = shlex.split(error.value.hint[error.value.hint.index("python -c") :])
    subprocess.run([sys.executable, *command[1:]], cwd=folder, check=True)
    a, b = import_catalog(str(folder / "train-0.parquet"))
    assert (a.uri, a.caption, b.caption) == (str(folder / "a.wav"), "song a", "song b")
    assert (folder / "b.wav").read_bytes() == sound


def test_audio_inside_without_names(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"audio": b"RIFF"}]), tmp_path / "x.parquet")
    with pytest.raises(StemsError, match="holds its audio inside"):
        import_catalog(str(tmp_path / "x.parquet"))
