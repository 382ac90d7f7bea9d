"""A model that is broken is refused in one line that names the file, wherever it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.broken_models import OF_WEIGHTS, WEIGHTS, Damage, broken_copy, broken_part, damages
from helpers.tiny import tiny_assembly_directory

from models.codec.codec import StemCodec
from models.errors import StemsError
from models.lm.language_model import StemLM
from models.separation import Separator
from models.song.assembly import Assembly
from models.song.model_check import check_model

LOAD: dict[str, Callable[[Path], object]] = {
    "lm": StemLM.load,
    "codecs": StemCodec.load,
    "separator": Separator.load,
    "assembly.json": Assembly.load,
}
CASES = [pytest.param(file, damage, id=f"{file}: {what}"[:60]) for file, what, damage in damages()]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("model"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("file", "damage"), CASES)
def test_a_broken_part_is_refused_by_its_name(
    model: Path, tmp_path: Path, file: str, damage: Damage, capfd: pytest.CaptureFixture[str]
) -> None:
    part = broken_part(model, tmp_path, file, damage)
    with pytest.raises(StemsError) as caught:
        LOAD[file.partition("/")[0]](part)
    assert str(part) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("file", [*WEIGHTS, "assembly.json", "lm/config.json"])
def test_a_whole_model_is_checked_without_being_loaded(model: Path, tmp_path: Path, file: str) -> None:
    check_model(model)
    copy = broken_copy(model, tmp_path, file, OF_WEIGHTS["NaN"] if file in WEIGHTS else Path.unlink)
    with pytest.raises(StemsError) as caught:
        check_model(copy)
    assert str((copy / file).parent) in str(caught.value)
    with pytest.raises(StemsError):
        Assembly.load(copy)
