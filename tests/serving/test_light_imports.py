"""The processes that pass messages start without the libraries that compute."""

from __future__ import annotations

import subprocess
import sys

import pytest

_IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
        importlib.import_module(found.name)
print(*sorted({"torch", "torchaudio", "transformers", "demucs", "ray"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "names",
    [
        ("serving.http", "serving.jobs", "serving.workers.protocol", "serving.workers.backend"),
        ("serving.client", "serving.schemas"),
    ],
    ids=["http", "client"],
)
def test_neither_the_http_side_nor_a_client_loads_a_library_that_computes(names: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORT_ALL, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
