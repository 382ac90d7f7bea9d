"""What rows are keyed by, and which threshold is in force."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import StemsError
from models.files.digest import directory_digest
from models.separation.vocals import DEFAULT_THRESHOLD
from pipelines.table.schema import StemsRow
from pipelines.tokens.choose.table_state import EMPTY_STATE
from pipelines.tokens.config import PrepareConfig, RetokenizeConfig
from pipelines.tokens.resolve import model_id, resolve_prepare
from pipelines.tokens.retokenize import _wanted
from pipelines.tokens.songs.kept_stems import stems_folder


def config(models: Any, **changes: Any) -> PrepareConfig:
    given = {"catalog": "songs", "table": "table", "separator": models.separator, "codecs": models.codecs}
    return PrepareConfig(**given | changes)


def test_a_separator_is_known_by_its_files_and_by_the_procedure(tiny_models: Any) -> None:
    digest = directory_digest(tiny_models.separator)
    assert resolve_prepare(config(tiny_models)).identity.separator == f"{digest}-2"
    assert resolve_prepare(config(tiny_models, separator="htdemucs")).identity.separator == "htdemucs-2"
    assert model_id(f"{tiny_models.codecs}/bass", "codecs") == directory_digest(f"{tiny_models.codecs}/bass")
    with pytest.raises(StemsError, match="no model in 'no/where'"):
        model_id("no/where", "separator")


def test_stems_of_another_procedure_lie_in_another_folder() -> None:
    ids = ("1f3a5b7c9d0e", "1f3a5b7c9d0e-2", "htdemucs_ft", "htdemucs_ft-2")
    folders = {stems_folder("root", "song", "0123456789abcdef", name) for name in ids}
    assert len(folders) == len(ids)


def test_a_threshold_of_another_score_is_refused_and_another_one_taken(tiny_models: Any, tmp_path: Path) -> None:
    assert resolve_prepare(config(tiny_models)).rule.threshold == DEFAULT_THRESHOLD
    separator = Path(shutil.copytree(tiny_models.separator, tmp_path / "separator"))
    settings = json.loads((separator / "config.json").read_text())
    (separator / "config.json").write_text(json.dumps({**settings, "vocal_threshold": 0.3, "vocal_score": 2}))
    assert resolve_prepare(config(tiny_models, separator=str(separator))).rule.threshold == 0.3
    (separator / "config.json").write_text(json.dumps({**settings, "vocal_threshold": 0.3}))  # of a release before
    with pytest.raises(StemsError, match="vocal score of an earlier release") as error:
        resolve_prepare(config(tiny_models, separator=str(separator)))
    assert (error.value.field, "--vocal-threshold" in error.value.hint) == ("vocal_threshold", True)
    assert resolve_prepare(config(tiny_models, separator=str(separator), vocal_threshold=0.1)).rule.threshold == 0.1


@pytest.mark.parametrize(
    ("kept", "asked", "meant"),
    [
        (("htdemucs", "htdemucs-2"), "htdemucs", {"htdemucs-2"}),
        (("htdemucs",), "htdemucs", {"htdemucs"}),
        (("htdemucs", "htdemucs-2"), "htdemucs-2", {"htdemucs-2"}),
        (("given", "htdemucs-2"), "given", {"given"}),
        (("htdemucs-2",), "htdemucs_ft", set()),
        (("a", "b"), "", {"a", "b"}),
    ],
)
def test_kept_stems_are_meant_by_the_name_or_the_id_of_their_separator(
    kept: tuple[str, ...], asked: str, meant: set[str]
) -> None:
    rows = {("song", name): StemsRow("song", name, "", (), 32000, 1.0, 0.0, (), 0.0) for name in kept}
    known = replace(EMPTY_STATE, stems=rows)
    assert _wanted(RetokenizeConfig(table="table", codecs="codecs", separator=asked), known) == meant
