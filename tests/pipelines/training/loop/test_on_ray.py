"""Training workers have places on nodes, or the training says so at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.nodes import shapes
from models.errors import StemsError
from pipelines.training.codec.config import CodecTraining
from pipelines.training.loop.on_ray import place_workers


def config(tmp_path: Path, **settings: Any) -> CodecTraining:
    return CodecTraining(output=str(tmp_path), stems="s", stem="bass", **settings)


def test_workers_take_gpus_where_there_are_any_and_cpus_elsewhere(tmp_path: Path) -> None:
    cpus, gpus = shapes([{"CPU": 2.0}] * 3), shapes([{"CPU": 2.0}, {"CPU": 8.0, "GPU": 4.0}])
    assert place_workers(config(tmp_path, workers=3), cpus, fixed=True) == {"CPU": 1.0}
    assert place_workers(config(tmp_path, workers=4), gpus, fixed=False) == {"GPU": 1.0}


def test_more_workers_than_a_machine_of_ones_own_can_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="room for 2 of 8 times a training worker") as error:
        place_workers(config(tmp_path, workers=8), shapes([{"CPU": 2.0}]), fixed=True)
    assert error.value.field == "workers"
    assert place_workers(config(tmp_path, workers=8, min_workers=2), shapes([{"CPU": 2.0}]), fixed=True)


def test_a_cluster_that_others_may_extend_is_waited_for(tmp_path: Path) -> None:
    assert place_workers(config(tmp_path, workers=8), shapes([{"CPU": 2.0}]), fixed=False)
    with pytest.raises(StemsError, match="no node has that"):
        place_workers(config(tmp_path, workers=8), shapes([{"CPU": 0.0}]), fixed=False)


def test_an_autoscaler_is_trusted_as_far_as_its_limits(tmp_path: Path) -> None:
    types = [({"CPU": 8.0, "GPU": 2.0}, 3)]
    assert place_workers(config(tmp_path, workers=6), shapes([{"CPU": 0.0}], types), fixed=False) == {"GPU": 1.0}
    with pytest.raises(StemsError, match="room for 6 of 7"):
        place_workers(config(tmp_path, workers=7), shapes([{"CPU": 0.0}], types), fixed=False)
