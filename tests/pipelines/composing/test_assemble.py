"""`stems assemble`: parts to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.tiny import LAYOUT, tiny_codec, tiny_lm, tiny_separator

import cli
from models.files.digest import directory_digest
from models.song.assembly import Assembly


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that knows its codecs, the codecs, and a separator."""
    root = tmp_path_factory.mktemp("parts")
    for index, stem in enumerate(LAYOUT.stems):
        tiny_codec(stem.codebooks, seed=index).save(root / "codecs" / stem.name)
    lm = tiny_lm()
    lm.config = replace(lm.config, codecs={name: directory_digest(root / "codecs" / name) for name in LAYOUT.names})
    lm.save(root / "lm")
    tiny_separator(root / "separator")
    return root


def run(parts: Path, output: Path, *words: str) -> int:
    given = ["--lm", str(parts / "lm"), "--codecs", str(parts / "codecs"), "--output", str(output)]
    return cli.main(["assemble", *given, *words])


def test_parts_become_a_model_that_holds_them_unchanged(parts: Path, tmp_path: Path) -> None:
    assert run(parts, tmp_path / "model", "--separator", str(parts / "separator"), "--max_seconds", "30") == 0
    for part in ("lm", "codecs", "separator"):
        assert directory_digest(tmp_path / "model" / part) == directory_digest(parts / part)
    model = Assembly.load(tmp_path / "model")
    assert (model.layout, model.max_seconds) == (LAYOUT, 30)
    assert model.separator is not None


def test_a_model_that_is_there_is_replaced_whole(parts: Path, tmp_path: Path) -> None:
    assert run(parts, tmp_path / "model", "--separator", str(parts / "separator")) == 0
    assert run(parts, tmp_path / "model") == 0
    assert Assembly.load(tmp_path / "model").separator is None
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_codecs_that_the_model_did_not_learn_are_refused_and_leave_nothing(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stem in LAYOUT.stems:
        tiny_codec(stem.codebooks, seed=7).save(tmp_path / "others" / stem.name)
    assert run(parts, tmp_path / "model", "--codecs", str(tmp_path / "others")) == 2
    assert "is not the one the language model learned" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["others"]


def test_a_missing_codec_is_named(parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_codec(1).save(tmp_path / "codecs" / "bass")
    assert run(parts, tmp_path / "model", "--codecs", str(tmp_path / "codecs")) == 2
    assert "no codec of 'drums'" in capsys.readouterr().err


def test_a_separator_without_a_stem_of_the_model_is_refused(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    separator = tiny_separator(tmp_path / "separator", sources=("drums", "other", "vocals"))
    assert run(parts, tmp_path / "model", "--separator", str(separator)) == 2
    assert "has no bass" in capsys.readouterr().err


def test_a_folder_that_holds_something_else_is_left_alone(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "mine.txt").write_text("mine")
    assert run(parts, tmp_path / "songs") == 2
    assert "did not write" in capsys.readouterr().err
    assert (tmp_path / "songs" / "mine.txt").read_text() == "mine"
