"""Commands speak any language in any locale: prompts, names and tables neither end a job nor are lost."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tiny import tiny_assembly_directory

import cli

ROOT = Path(__file__).parents[1]
WORDS = "静かなジャズ 🎷 naïve"
LOCALES = {
    "C": {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII output": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
}


@pytest.mark.parametrize("locale", ["C", pytest.param("ASCII output", marks=pytest.mark.slow)])
def test_a_japanese_prompt_is_played_and_kept(locale: str, tmp_path: Path) -> None:
    model, output = tiny_assembly_directory(tmp_path / "モデル"), tmp_path / "歌"
    words = ["generate", "--model", str(model), "--prompt", WORDS, "--seconds", "0.5", "--output", str(output)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        env={**inherited, "PYTHONPATH": str(ROOT), **LOCALES[locale]},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((output / "manifest.json").read_text(encoding="utf-8"))["prompt"] == WORDS
    assert b"LUFS" in done.stdout


def test_bytes_that_are_no_text_are_refused_as_a_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_assembly_directory(tmp_path / "model")
    words = ["generate", "--model", str(model), "--output", str(tmp_path / "song"), "--prompt", "caf\udce9"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "prompt" in said
    assert said.count("\n") == 1


def test_every_text_file_is_opened_in_utf8() -> None:
    parts = ("cli", "models", "pipelines", "serving", "cluster", "benchmarks")
    sources = [file for part in parts for file in (ROOT / part).rglob("*.py")]
    found = [f"{file.relative_to(ROOT)}:{line}" for file in sources for line in _unsaid(file)]
    assert found == []


def _unsaid(file: Path) -> list[int]:
    """Lines that open a text file in whatever encoding the machine has."""
    lines = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        mode = node.args[0 if method else 1] if len(node.args) > (0 if method else 1) else None
        how = mode.value if isinstance(mode, ast.Constant) else None
        text = isinstance(how, str) and len(how) < 4 and "b" not in how
        if (method and name in ("read_text", "write_text")) or (name == "open" and text):
            lines.append(node.lineno)
    return lines
