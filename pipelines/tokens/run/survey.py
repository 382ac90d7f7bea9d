"""The first phase: every file is decoded once, cheaply, before any model is loaded.

It finds which files are songs, which of them are the same, and how long and loud they are. All of it is stored, so
that a file is inspected once, whatever models come later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from cluster.waiting import Want
from cluster.watch import LostNodes, watch
from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.table.schema import CatalogRow, QuarantineRow
from pipelines.tokens.choose.table_state import FileFacts
from pipelines.tokens.resolve import ResolvedRun
from pipelines.tokens.run.ray_data import inspection, read_stream, run_with_retries
from pipelines.tokens.run.report_builder import ReportBuilder
from pipelines.tokens.run.workers import Workers
from pipelines.tokens.run.writer import Writer
from pipelines.tokens.songs.inspect import inspect_files
from pipelines.tokens.songs.reasons import CRASHED, MISSING, NOT_WRITTEN, PASSED_OVER, REMOVED

log = logging.getLogger(__name__)

BLOCK = 8
"""Files that one task inspects."""


class Survey:
    """Inspects files that the table does not know, and writes down what they are.

    Args:
        resolved: the job.
        removed: songs that were taken down.
        writer: takes the rows.
        report: takes the figures.
    """

    def __init__(
        self, resolved: ResolvedRun, removed: Collection[str], writer: Writer, report: ReportBuilder
    ) -> None:
        self._resolved, self._removed, self._writer, self._report = resolved, removed, writer, report

    def run(
        self, entries: Sequence[CatalogEntry], workers: Workers, advance: Callable[[float], None]
    ) -> dict[str, FileFacts]:
        """Inspect files; return the measurements of readable ones, by fingerprint.

        Args:
            entries: the files.
            workers: room for tasks.
            advance: called after each file with its seconds of audio.

        Raises:
            StemsError: ``too_many_errors``, a worker's disk is full, or the cluster failed again and again.
        """
        missing = {entry.fingerprint: entry for entry in entries}
        lines = {key: entry_to_json(entry) for key, entry in missing.items()}
        facts: dict[str, FileFacts] = {}
        try:
            with watch({"a task that inspects files": Want(workers.read)}):
                for key, row in run_with_retries(lines, self._stream(workers), BLOCK, LostNodes()):
                    found = self._take(missing.pop(key), row)
                    if found:
                        facts[key] = found
                        self._writer.add(CatalogRow(**vars(found), entry=lines[key], signature=row["signature"]))
                    advance(row["seconds"])
        except StemsError:
            try:
                self._writer.flush()
            except StemsError as error:  # for example where the table's disk is full
                log.warning("What was done since the last commit is lost: %s", error)
            raise
        for entry in missing.values():
            message = f"'{entry.uri}' crashed its decoder or filled the memory, each time it was tried."
            self._set_aside(entry, CRASHED, message)
        self._writer.flush_and_check()
        return facts

    def _stream(self, workers: Workers) -> Callable[[list[str], int], Iterator[tuple[str, dict[str, Any]]]]:
        task = partial(inspect_files, limits=self._resolved.limits, allow_hosts=self._resolved.allow_hosts)
        stages = inspection(task, workers)

        def stream(lines: list[str], block: int) -> Iterator[tuple[str, dict[str, Any]]]:
            for row in read_stream(stages, "entry", lines, block):
                yield row["fingerprint"], row

        return stream

    def _take(self, entry: CatalogEntry, row: dict[str, Any]) -> FileFacts | None:
        """The measurements of a readable file; a bad file is set aside."""
        self._report.stage("inspect", 1, row["seconds"], row["took"])
        if row["reason"] == NOT_WRITTEN:
            raise StemsError(
                f"A worker has no room left to work: {row['message']}.",
                "Free some room on its disks. Finished songs are in the table.",
                code=NOT_WRITTEN,
            )
        if row["reason"]:
            self._set_aside(entry, row["reason"], row["message"])
            return None
        if row["song_id"] in self._removed:
            self._set_aside(entry, REMOVED, f"'{entry.uri}' was taken down under another name.")
            return None
        for name in ("seconds", "loudness", "clipped", "silence"):
            self._report.value(name, row[name])
        return FileFacts(
            fingerprint=entry.fingerprint,
            song_id=row["song_id"],
            seconds=row["seconds"],
            source_rate=row["rate"],
            source_channels=row["channels"],
            loudness=row["loudness"],
            clipped=row["clipped"],
            silence=row["silence"],
        )

    def _set_aside(self, entry: CatalogEntry, reason: str, message: str) -> None:
        self._report.problem(entry.uri, reason, message)
        # A file that is listed and missing, or whose store does not answer, may be there for the next run.
        if reason in PASSED_OVER or (reason == MISSING and entry.size):
            self._writer.pass_over(reason)
            return
        limits = self._resolved.identity.limits
        self._writer.add(QuarantineRow(entry.uri, entry.fingerprint, reason, message, limits=limits))
