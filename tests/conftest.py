"""What all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.s3 import s3, s3_server  # noqa: F401 - fixtures

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The GPU's kernels are tested on the CPU; their compiler reads this when it is first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")
# Processes that tests start find the helpers too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])


@pytest.fixture(scope="session")
def ray_local() -> Iterator[Any]:
    """One local Ray for the whole session."""
    import ray

    context = ray.init(
        "local",
        num_cpus=2,
        object_store_memory=200 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        ignore_reinit_error=True,
    )
    yield context
    ray.shutdown()


@pytest.fixture(scope="session")
def golden_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release in the authors' format and what it computes, in ``golden.safetensors`` (tests/golden/README.md)."""
    from golden.make import HERE, VECTORS, write_golden_release

    if given := os.environ.get("STEMS_GOLDEN_RELEASE"):
        return Path(given)
    folder = write_golden_release(tmp_path_factory.mktemp("golden") / "release")
    shutil.copy(HERE / VECTORS, folder / "golden.safetensors")
    return folder
