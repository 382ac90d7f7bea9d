"""Where a job's folders are, by names that hold on every machine and after the job's end."""

from __future__ import annotations

import os
from pathlib import Path

from models.errors import StemsError
from models.output_folder import check_folder
from pipelines.catalog.files import absolute, is_remote, local_path
from pipelines.tokens.config import TableJob
from pipelines.tokens.table import TABLES

_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray where a job was submitted to it."""


def place(folder: str) -> str:
    """A folder's absolute path, or its address in a store; empty for none."""
    return folder if not folder or is_remote(folder) else absolute(folder)


def model_place(name: str) -> str:
    """A model's absolute path; the name of a released one as it is."""
    return absolute(name) if Path(name).exists() else name


def check_outputs(config: TableJob) -> None:
    """Refuse a table's folder that holds something else, and folders that cannot be written.

    Also those in a submitted job's working directory: that is a copy, which Ray deletes.

    Raises:
        StemsError: naming the setting.
    """
    _check_relative(config)
    for field in ("table", "report", "keep_stems"):
        folder = getattr(config, field, "")
        if folder and not is_remote(folder):
            ours = _is_table if field == "table" else _takes_more
            check_folder(local_path(folder), field, ours=ours)


def _is_table(folder: Path) -> bool:
    return any((folder / name / "_delta_log").is_dir() for name in TABLES)


def _takes_more(folder: Path) -> bool:
    """Reports and stems have names of their own: they lie beside whatever is there."""
    return True


def _check_relative(config: TableJob) -> None:
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
