"""The configurations in infra/ are taken by what they configure."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from pipelines.tokens.config import PrepareConfig
from pipelines.training.lm.config import LMTraining
from serving.config import ServeConfig

INFRA = Path(__file__).parents[1] / "infra"
SETTINGS: dict[str, type[BaseModel]] = {
    "prepare.yaml": PrepareConfig,
    "serve.yaml": ServeConfig,
    "train_lm.yaml": LMTraining,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_known(name: str) -> None:
    values = yaml.safe_load((INFRA / name).read_text())
    settings = SETTINGS[name].model_validate(values)
    assert set(values) == settings.model_fields_set


def test_the_ray_serve_application_is_ours() -> None:
    from ray.serve.schema import ServeDeploySchema

    values = yaml.safe_load((INFRA / "serve_application.yaml").read_text())
    [application] = ServeDeploySchema.model_validate(values).applications
    assert application.import_path == "serving.app:application"
    assert ServeConfig.model_validate(application.args).replicas == 1


def test_no_file_is_left_out() -> None:
    assert {path.name for path in INFRA.glob("*.yaml")} == {*SETTINGS, "serve_application.yaml"}
