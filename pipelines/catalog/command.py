"""`stems catalog`: write the songs of a source to one file, or report its problems."""

from __future__ import annotations

from models.errors import StemsError
from pipelines.catalog.config import CatalogConfig
from pipelines.catalog.formats.catalog import check_catalog_file, write_catalog_file
from pipelines.catalog.formats.folder import MANIFEST_NAMES
from pipelines.catalog.lengths import with_lengths
from pipelines.catalog.load import read_songs
from pipelines.catalog.report import CatalogReport, report_on
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import lies_in


def write_catalog(config: CatalogConfig) -> CatalogReport:
    """Read a source, take lengths from its files' headers, and write the catalog.

    A dry run writes nothing, and reports errors instead of raising them.

    Raises:
        StemsError: the catalog has an error, or there is neither an output nor a dry run.
    """
    if not (config.output or config.dry_run):
        raise StemsError("There is nowhere to write to.", "Give --output, or --dry-run.", field="output")
    source = Source(config.source, config.manifest, tuple(config.allow_hosts))
    if not config.dry_run:
        check_catalog_file(config.output)
        _check_is_no_manifest(config.output, source)
    entries: list[CatalogEntry] = []
    try:
        entries = read_songs(source, config.format)
    except StemsError as error:
        source.problems.fatal(error)
    if not config.dry_run:
        source.problems.raise_fatal()
    entries = with_lengths(entries, source.problems)
    if not config.dry_run:
        write_catalog_file(config.output, entries)
    return report_on(entries, source.problems.found, "" if config.dry_run else config.output)


def _check_is_no_manifest(output: str, source: Source) -> None:
    """Refuse an output that the next run would read as a manifest of its source."""
    name = output.rpartition("/")[2].lower()
    if source.is_folder and name in MANIFEST_NAMES and lies_in(output, source.path):
        raise StemsError(
            f"'{output}' would be read as a manifest of '{source.path}'.",
            "Give another name.",
            field="output",
        )
