"""What all tests share."""

from __future__ import annotations

import os
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

SHARED_GOLDEN = Path(__file__).parents[2] / "shared" / "golden"


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
def reference_golden() -> Path:
    """The reference implementation's vectors, which lie beside the repository where they are at hand."""
    folder = SHARED_GOLDEN / "musicgen_stem_6cb_tiny"
    if not folder.is_dir():
        pytest.skip(f"no reference vectors at {folder}")
    return folder
