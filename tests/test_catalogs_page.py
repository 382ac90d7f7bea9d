"""docs/CATALOGS.md: each command is run, and prints what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from helpers.folders import build_folders, fill_bucket
from helpers.s3 import Bucket
from helpers.tiny import tiny_codec, tiny_separator

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "CATALOGS.md"
SETTINGS = "table: tokens\nseparator: separator\ncodecs: codecs\nvocal_threshold: 1.0\n"
BUCKET = "s3://music"


def commands() -> Iterator[tuple[str, list[str]]]:
    """What the page tells to type, and the lines that it shows below each."""
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        for part in block.strip().split("$ ")[1:]:
            command, *lines = part.strip().split("\n")
            yield command, lines


@pytest.mark.slow
def test_every_command_of_the_page_prints_what_it_says(tmp_path: Path, s3: Bucket) -> None:
    build_folders(tmp_path)
    fill_bucket(s3fs.S3FileSystem(), s3.uri.removeprefix("s3://"))
    tiny_separator(tmp_path / "separator")
    for seed, (name, codebooks) in enumerate((("bass", 1), ("drums", 1), ("other", 2))):
        tiny_codec(codebooks, seed).save(tmp_path / "codecs" / name)
    (tmp_path / "prepare.yaml").write_text(SETTINGS)
    typed = 0
    for command, lines in commands():
        said = type_in(command.replace(BUCKET, s3.uri), tmp_path)
        rest = iter(said)
        missing = [line for line in lines if not any(line in other for other in rest)]
        assert not missing, f"{command}\n" + "\n".join(said)
        typed += 1
    assert typed >= 17


def type_in(command: str, folder: Path) -> list[str]:
    """The lines that a command prints, without the lines of tables, and with single blanks."""
    stems = f'stems() {{ {shlex.quote(sys.executable)} -m cli "$@"; }}'
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    done = subprocess.run(
        ["bash", "-c", f"{stems}\n{command}"], cwd=folder, env=settings, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    text = re.sub(r"[│┃]", " ", done.stdout + done.stderr)
    return [" ".join(line.split()) for line in text.splitlines()]
