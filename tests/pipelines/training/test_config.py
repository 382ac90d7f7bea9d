"""Settings that all training jobs share."""

from __future__ import annotations

import pytest

from models.errors import StemsError
from pipelines.training.config import TrainingConfig


def test_a_run_is_kept_on_a_file_system() -> None:
    with pytest.raises(StemsError, match="s3://bucket/run") as caught:
        TrainingConfig(output="s3://bucket/run")
    assert caught.value.field == "output"
    assert TrainingConfig(output="runs/s3").output == "runs/s3"
