"""The first phase: every file is decoded once, cheaply, before any model is loaded.

It says which files are songs, which of them are the same, how long and how loud they are; all of it is stored, so
that a file is looked at once, whatever models come later.
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
from pipelines.tokens.run.ray_data import inspection, read_stream, run_with_retries
from pipelines.tokens.run.report import ReportBuilder
from pipelines.tokens.run.workers import Workers
from pipelines.tokens.run.writer import Writer
from pipelines.tokens.songs.inspect import inspect_files
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.reasons import CRASHED, MISSING, NOT_WRITTEN, PASSED_OVER, REMOVED
from pipelines.tokens.songs.work import PROBE

log = logging.getLogger(__name__)

BLOCK = 8
"""Files that one task inspects."""


def survey(
    entries: Sequence[CatalogEntry],
    limits: SongLimits,
    allow_hosts: Sequence[str],
    removed: Collection[str],
    workers: Workers,
    writer: Writer,
    report: ReportBuilder,
    advance: Callable[[float], None],
) -> dict[str, FileFacts]:
    """Inspect files and write down what they are; return the facts of those that can be read, by fingerprint.

    Args:
        entries: files that the table does not know.
        limits: what a song may be.
        allow_hosts: hosts that may be asked.
        removed: songs that were taken down.
        workers: room for tasks.
        writer: takes the rows.
        report: takes the figures.
        advance: called after each file, with its seconds of audio.

    Raises:
        StemsError: ``too_many_errors``, or the cluster broke again and again.
    """
    by_key = {entry.fingerprint: entry for entry in entries}
    lines = {key: entry_to_json(entry) for key, entry in by_key.items()}
    key_of = {line: key for key, line in lines.items()}
    facts: dict[str, FileFacts] = {}
    stages = inspection(partial(inspect_files, limits=limits, allow_hosts=tuple(allow_hosts)), workers)

    def stream(lines: list[str], block: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in read_stream(stages, "entry", lines, block):
            yield key_of.get(row["entry"], PROBE), row

    try:
        with watch({"a task that inspects files": Want(workers.read)}):
            for key, row in run_with_retries(lines, stream, BLOCK, LostNodes()):
                entry = by_key.pop(key)
                report.stage("inspect", 1, row["seconds"], row["took"])
                advance(row["seconds"])
                if row["reason"] == NOT_WRITTEN:
                    raise StemsError(
                        f"A worker has no room left to work: {row['message']}.",
                        "Free some room on its disks; what was done is in the table.",
                        code=NOT_WRITTEN,
                    )
                if row["reason"]:
                    _set_aside(entry, row["reason"], row["message"], limits, writer, report)
                elif row["song_id"] in removed:
                    taken_down = f"'{entry.uri}' was taken down under another name."
                    _set_aside(entry, REMOVED, taken_down, limits, writer, report)
                else:
                    facts[key] = _facts(key, row)
                    for name in ("seconds", "loudness", "clipped", "silence"):
                        report.value(name, row[name])
                    writer.add(CatalogRow(**vars(facts[key]), entry=lines[key], signature=row["signature"]))
    except StemsError:
        try:
            writer.write()
        except StemsError as error:  # as where its disk is full
            log.warning("What was done since the last commit is lost: %s", error)
        raise
    for entry in by_key.values():
        message = f"'{entry.uri}' crashed its decoder or filled the memory, each time it was tried."
        _set_aside(entry, CRASHED, message, limits, writer, report)
    writer.commit()
    return facts


def _facts(key: str, row: dict[str, Any]) -> FileFacts:
    return FileFacts(
        fingerprint=key,
        song_id=row["song_id"],
        seconds=row["seconds"],
        source_rate=row["rate"],
        source_channels=row["channels"],
        loudness=row["loudness"],
        clipped=row["clipped"],
        silence=row["silence"],
    )


def _set_aside(
    entry: CatalogEntry, reason: str, message: str, limits: SongLimits, writer: Writer, report: ReportBuilder
) -> None:
    report.problem(entry.uri, reason, message)
    # What was listed and is not there, or does not answer, may be there for the next run.
    if reason in PASSED_OVER or (reason == MISSING and entry.size):
        writer.pass_over(reason)
        return
    writer.add(QuarantineRow(entry.uri, entry.fingerprint, reason, message, "", "", "", str(limits)))
