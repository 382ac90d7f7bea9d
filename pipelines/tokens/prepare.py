"""From a catalog to the token table: the job that joins all stages.

Files that the table knows are left out before anything starts. The first phase decodes each new file once and
measures it; the second runs the models on the songs that remain. Both write what they find every few songs: a killed
run leaves whole commits, and the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.gone import coverage, gone_and_replaced, no_longer_aside
from pipelines.tokens.choose.table_state import TableState, read_state
from pipelines.tokens.config import PrepareConfig, RetryConfig
from pipelines.tokens.paths import check_outputs
from pipelines.tokens.preparation import Preparation
from pipelines.tokens.resolve import check_models, resolve_prepare
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.run.run import Run
from pipelines.tokens.songs.reasons import FAILED, REASONS


def prepare(config: PrepareConfig) -> PrepareReport:
    """Tokenize the songs of a catalog that the table does not have, and update the words of the others.

    Files that are not usable songs go into the table's quarantine with a reason, songs with vocals among the dropped.
    Run again on an unchanged catalog, it loads no model and writes no version.

    Raises:
        StemsError: the catalog, a model directory or the table is at fault, the cluster is too small, or more files
            are bad than the job accepts.
    """
    return _prepare(config, again=())


def retry_quarantined(config: RetryConfig) -> PrepareReport:
    """The same, after taking the catalog's files out of the quarantine.

    A file that is still bad returns there. Raises what :func:`prepare` does.
    """
    return _prepare(config, again=config.reasons or tuple(REASONS))


def _prepare(config: PrepareConfig, again: Collection[str]) -> PrepareReport:
    """Prepare a catalog; files quarantined for the reasons ``again`` are inspected once more."""
    check_outputs(config)
    resolved = resolve_prepare(config)
    with Run(resolved) as run:
        entries = import_catalog(
            config.catalog, config.manifest, format=config.format, allow_hosts=config.allow_hosts
        )
        run.table.create()
        state = _pardon(run.table, read_state(run.table, resolved.identity), entries, again)
        todo = Preparation.of(resolved, entries, state)
        run.begin(len(entries), removed=len(entries) - len(todo.present))
        run.apply(todo.early)
        if todo.unread:
            check_models(resolved)
        facts = {**state.facts, **run.survey(todo.unread, state)}
        choice = todo.choose(facts)
        run.apply(choice)
        covered = coverage(config.catalog, config.manifest, entries)
        gone, replaced = gone_and_replaced(covered, entries, state, facts)
        run.note_lost_files(gone, replaced, no_longer_aside(covered, entries, state))
        run.tokenize(choice.works, facts, state, resolved.identity)
        present = {entry.fingerprint for entry in todo.present}
        run.check_errors([reason for name, reason in state.quarantined.items() if name in present])
    return run.report()


def _pardon(
    table: TokenTable, state: TableState, entries: Sequence[CatalogEntry], again: Collection[str]
) -> TableState:
    """Take the entries' files that were quarantined for these reasons out of the quarantine."""
    present = {entry.fingerprint for entry in entries}
    unforeseen = set(REASONS) <= set(again)
    pardoned = {
        name
        for name, reason in state.quarantined.items()
        if name in present and (reason in again or (unforeseen and reason.startswith(FAILED)))
    }
    if not pardoned:
        return state
    table.pardon(pardoned)
    return replace(state, quarantined={k: v for k, v in state.quarantined.items() if k not in pardoned})
