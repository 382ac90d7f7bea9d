"""Where a job's folders are, by names that hold on every machine and after the job's end."""

from __future__ import annotations

import os
from pathlib import Path

from models.errors import StemsError
from pipelines.catalog.files import absolute, is_remote
from pipelines.tokens.config import TableJob

_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray where a job was submitted to it."""


def place(folder: str) -> str:
    """A folder's absolute path, or its address in a store; empty for none."""
    return folder if not folder or is_remote(folder) else absolute(folder)


def model_place(name: str) -> str:
    """A model's absolute path; the name of a released one as it is."""
    return absolute(name) if Path(name).exists() else name


def check_outputs(config: TableJob) -> None:
    """Refuse to write into a submitted job's working directory: that is a copy, which Ray deletes.

    Raises:
        StemsError: naming the setting.
    """
    if _SUBMITTED not in os.environ:
        return
    for field in ("table", "report", "keep_stems"):
        folder = getattr(config, field, "")
        if folder and not is_remote(folder) and not Path(folder).is_absolute():
            raise StemsError(
                f"'{folder}' would lie in the submitted job's copy of the working directory, and go with it.",
                "Give an s3:// address or an absolute path that every machine sees.",
                field=field,
            )
