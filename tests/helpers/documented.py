"""What the docs tell to type, typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from helpers.songs import open_zip

ROOT = Path(__file__).parents[2]
SERVER = "http://127.0.0.1:8000"


def run_documented(url: str, folder: Path) -> None:
    """Run every shell block, one after the other as a reader does, and then the Python one."""
    text = page_text("API.md").replace(SERVER, url)
    script = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    assert script.count("curl -f") >= 15
    settings = {**os.environ, "no_proxy": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    for command in (["bash", "-euo", "pipefail", "-c", script], [sys.executable, "-c", _python(text)]):
        done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    for name in ("song.zip", "edited.zip", "band.zip", "duo.zip", "varied.zip"):
        files, _ = open_zip((folder / name).read_bytes())
        assert files.keys() > {"mix"}
    for name in ("mix.flac", "new-drums.flac"):
        assert (folder / name).read_bytes().startswith(b"fLaC")
    events = (folder / "events.txt").read_text()
    assert events.count("event: audio") >= 3
    assert "event: end" in events
    assert {file.stem for file in (folder / "song").iterdir()} > {"mix", "manifest"}


def run_blocks(page: str, url: str, folder: Path) -> str:
    """Run the shell blocks of a page of the docs against a service, as one script; return what it prints."""
    text = page_text(page).replace(SERVER, url)
    script = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    settings = {**os.environ, "no_proxy": "127.0.0.1"}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def python_block(page: str) -> str:
    """The one Python block of a page of the docs."""
    return _python(page_text(page))


def page_text(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def _python(text: str) -> str:
    [block] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return str(block)
