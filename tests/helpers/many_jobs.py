"""Several jobs at the same moment on one Ray cluster: ``python -m helpers.many_jobs ARGUMENTS.json``.

The file holds a list of argument lists of ``stems``; the exit codes are printed as a list.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import ray

LOGICAL_CPUS = 64
"""More than there are: every job has its workers at once, and they take turns."""


def main(arguments: list[list[str]]) -> list[int]:
    """Run all of them at once."""
    context = ray.init(
        num_cpus=LOGICAL_CPUS, object_store_memory=300 * 2**20, include_dashboard=False, log_to_driver=False
    )
    environment = {**os.environ, "RAY_ADDRESS": context.address_info["address"], "OMP_NUM_THREADS": "1"}
    jobs = [
        subprocess.Popen([sys.executable, "-m", "cli", *words], env=environment, stdout=subprocess.DEVNULL)
        for words in arguments
    ]
    return [job.wait() for job in jobs]


if __name__ == "__main__":
    print(main(json.loads(Path(sys.argv[1]).read_text())))
