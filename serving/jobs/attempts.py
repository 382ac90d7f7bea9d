"""Runs a job until it succeeds or fails, over as many lost workers as it takes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from models.errors import StemsError
from models.files.storage import CODE as STORAGE
from models.files.storage import storage_reason
from serving.errors import BusyError, broken, no_room, problem_of
from serving.jobs.blob_store import Stores
from serving.jobs.disk_space import DiskSpace
from serving.jobs.job_store import JobRecord
from serving.jobs.progress import ProgressPublisher
from serving.jobs.runner import run_job
from serving.workers.backend import ModelBackend, WorkerLostError

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 20
"""A job that has lost this many workers or services is what kills them; it fails."""

_PAUSE_S = (0.2, 5.0)
"""Before the second attempt, and at most before any later one."""


async def run_attempts(
    job: JobRecord, backend: ModelBackend, stores: Stores, disk: DiskSpace, progress: ProgressPublisher
) -> dict[str, Any]:
    """Run a job; the columns of its record that say how it ended."""
    pause = _PAUSE_S[0]
    while progress.attempts < MAX_ATTEMPTS:
        progress.attempts += 1
        clock = progress.timings.clock
        try:
            manifest = await run_job(job, backend, stores.uploads, stores.results, progress.publish, clock)
            return {"state": "done", "model": manifest.model, "manifest": manifest.model_dump(mode="json")}
        except (WorkerLostError, BusyError) as error:
            log.warning("Job %s lost its worker (%s) and runs again.", job.id, error)
            await asyncio.sleep(pause)
            progress.restart()
            pause = min(2 * pause, _PAUSE_S[1])
        except StemsError as error:
            if error.code == STORAGE:
                disk.failed()
            return _failed(job, error)
        except Exception as error:
            if storage_reason(error) is not None:
                log.error("Job %s: %s", job.id, error)
                disk.failed()
                return _failed(job, no_room())
            log.exception("Job %s failed.", job.id)
            break
    return _failed(job, broken())


def _failed(job: JobRecord, error: StemsError) -> dict[str, Any]:
    return {"state": "failed", "problem": problem_of(error, job.request_id).model_dump()}
