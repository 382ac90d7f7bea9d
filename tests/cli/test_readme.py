"""What README tells to type is typed as it stands there; what cannot be run here is listed with the reason."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tiny import noise, tiny_assembly_directory

import cli
from models.audio.files import write_audio

ROOT = Path(cli.__file__).parents[1]

NOT_RUN = {
    "stems serve": "runs until it is interrupted; tests/serving start it",
    "stems request": "needs a running service; tests/serving/client and docs/API.md's test run it",
    "stems train": "takes hours with the defaults; tests/pipelines/training run it small",
    "stems prepare": "downloads htdemucs, or needs models; docs/CATALOGS.md's test runs it",
    "stems retokenize": "needs a table; tests/pipelines/tokens run it",
    "stems table": "needs a table; docs/CATALOGS.md's test runs it",
    "ray job submit": "needs a cluster",
    "mkdir": "copies what training wrote",
    "make": "installs",
    "source": "enters the environment",
}
"""The first words of lines that this test leaves out; test_documented_commands parses each that is of stems."""


def lines() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


@pytest.mark.slow
def test_every_line_of_the_readme_runs_as_it_is_written(tmp_path: Path) -> None:
    model = tmp_path / "runs/demo/model"
    tiny_assembly_directory(model)
    for name, part in {"lm/model": "lm", "separator/model": "separator"}.items():
        shutil.copytree(model / part, tmp_path / "runs" / name)
    shutil.copytree(model / "codecs", tmp_path / "codecs")
    write_audio(tmp_path / "my-song.wav", noise(8.0, channels=2))
    (tmp_path / "my-song.wav").rename(tmp_path / "my-song.mp3")  # sound is known by what it holds
    write_audio(tmp_path / "songs" / "a.wav", noise(6.0, channels=2))
    run = [line for line in lines() if not line.startswith(tuple(NOT_RUN))]
    assert len(run) >= 8
    for line in run:
        command = f'stems() {{ {sys.executable} -m cli "$@"; }}\n{line}'
        settings = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_each_reason_is_for_a_line_of_the_readme() -> None:
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines())] == []
