"""Save a run's report as JSON and as one HTML page."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from pipelines.catalog.storage.files import not_written, write_bytes
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.run.report_page import html_page


def new_name() -> str:
    """A name for the files of one run: ``<UTC time>-<6 hex digits>``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def save(report: PrepareReport, folder: str, name: str) -> tuple[str, str]:
    """Write ``<folder>/<name>.json`` and ``.html``, local or ``s3://``; return both addresses.

    Raises:
        StemsError: with code ``storage``, naming the folder.
    """
    name = f"{folder.rstrip('/')}/{name}"
    data, shown = f"{name}.json", f"{name}.html"
    try:
        write_bytes(data, report.to_json().encode())
        write_bytes(shown, html_page(report).encode())
    except Exception as error:
        raise not_written(folder, error, "report") from error
    return data, shown
