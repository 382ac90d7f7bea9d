"""From a catalog to the token table: the job that joins all stages.

What the table knows already is left out before anything starts. The first phase decodes each new file once and says
what it is; the second takes what is left to the models. Both write down what they find every few songs: a killed run
leaves whole commits, and the next one goes on there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry
from pipelines.table.schema import StemsRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.choose import Chooser
from pipelines.tokens.choose.gone import coverage
from pipelines.tokens.choose.table_state import TableState, read_state
from pipelines.tokens.config import PrepareConfig, RetryConfig
from pipelines.tokens.paths import check_no_own_stems
from pipelines.tokens.resolve import check_models, identity_of, layout_of, limits_of, vocal_rule
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.run.run import Run
from pipelines.tokens.songs.kept_stems_check import damaged
from pipelines.tokens.songs.reasons import FAILED, REASONS


def prepare(config: PrepareConfig) -> PrepareReport:
    """Tokenize the songs of a catalog that the table does not know yet, and bring the others' words up to date.

    Files that are no songs land in the table's quarantine with a reason, songs with vocals among the dropped.
    Run again on what has not changed, nothing happens: no model is loaded and no version is written.

    Raises:
        StemsError: the catalog, a model directory or the table is at fault, the cluster is too small, or more files
            are bad than the job accepts.
    """
    return _prepare(config, again=())


def retry_quarantined(config: RetryConfig) -> PrepareReport:
    """The same, after taking the catalog's files out of the quarantine.

    A file that is still no song returns there. Raises what :func:`prepare` does.
    """
    return _prepare(config, again=config.reasons or tuple(REASONS))


def _prepare(config: PrepareConfig, again: Collection[str]) -> PrepareReport:
    """Prepare a catalog; files quarantined for the reasons ``again`` are looked at once more."""
    with Run(config) as run:
        entries = import_catalog(
            config.catalog, config.manifest, format=config.format, allow_hosts=config.allow_hosts
        )
        layout, identity, limits = layout_of(config), identity_of(config), limits_of(config)
        run.table.create()
        known = read_state(run.table, identity)
        check_no_own_stems(entries, (row.folder for row in known.stems.values()))
        known = _pardon(run.table, known, entries, again)
        present = [entry for entry in entries if entry.fingerprint not in known.removed_files]
        run.songs, run.removed = len(entries), len(entries) - len(present)

        keep = bool(config.keep_stems)
        lost = damaged(_kept_of(present, known), layout.names) if keep else set()
        chooser = Chooser(known, identity, layout, vocal_rule(config), limits, keep, lost)
        remain, early = chooser.before_reading(present)
        run.apply(early)
        unread = [entry for entry in remain if entry.fingerprint not in known.facts]
        if unread:
            check_models(config, layout)
        facts = {**known.facts, **run.survey(unread, limits, config.allow_hosts, known)}
        choice = chooser.choose(present, facts)
        run.apply(choice)
        run.look_around(entries, coverage(config.catalog, config.manifest, entries), known, facts)
        run.tokenize(choice.works, identity, layout, facts, known)
        run.check_errors([known.quarantined[e.fingerprint] for e in present if e.fingerprint in known.quarantined])
    return run.report()


def _kept_of(entries: Sequence[CatalogEntry], known: TableState) -> list[StemsRow]:
    """The kept stems of those entries that the table knows."""
    songs = {known.facts[entry.fingerprint].song_id for entry in entries if entry.fingerprint in known.facts}
    return [row for (song, _), row in known.stems.items() if song in songs]


def _pardon(table: TokenTable, known: TableState, entries: Sequence[CatalogEntry], again: Collection[str]) -> TableState:
    """Take the entries' files that were quarantined for these reasons out of the quarantine."""
    present = {entry.fingerprint for entry in entries}
    pardoned = {
        name
        for name, reason in known.quarantined.items()
        if name in present and (reason in again or (reason.startswith(FAILED) and set(REASONS) <= set(again)))
    }
    if not pardoned:
        return known
    table.pardon(pardoned)
    return replace(known, quarantined={k: v for k, v in known.quarantined.items() if k not in pardoned})
