"""New tokens from kept stems: only the streams of new codecs are computed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from models.errors import StemsError
from pipelines.catalog.schema import CatalogEntry, entry_from_json
from pipelines.catalog.storage.files import exists, in_parallel
from pipelines.table.captions import with_words
from pipelines.table.schema import StemsRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.table_state import TableState, read_state
from pipelines.tokens.config import RetokenizeConfig
from pipelines.tokens.paths import check_outputs, place
from pipelines.tokens.resolve import ResolvedRun, check_models, model_id, resolve_retokenize
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.run.run import Run
from pipelines.tokens.songs.work import Work

logger = logging.getLogger(__name__)


def retokenize(config: RetokenizeConfig) -> PrepareReport:
    """Tokenize every song whose stems are kept with the codecs as they are now.

    Stems whose codec has not changed keep their codes, byte for byte. Songs that count as sung are passed over.

    Raises:
        StemsError: there is no table, it keeps no stems, they lack a stem of the layout or are not where the
            configuration says, the codecs are at fault, or more songs fail than the job accepts.
    """
    check_outputs(config)
    resolved = resolve_retokenize(config)
    with Run(resolved) as run:
        state = read_state(run.table, resolved.identity)
        wanted = _wanted(config, state)
        if not wanted:
            raise StemsError(
                f"The token table '{config.table}' keeps no stems{' of that separator' if config.separator else ''}.",
                "Run `stems prepare --keep-stems FOLDER`.",
                code="empty",
                field="table",
            )
        if config.stems:
            state = _moved(run.table, state, wanted, place(config.stems))
        run.begin(sum(separator in wanted for _, separator in state.stems))
        entries = _entries(run.table, state)
        todo = {separator: _works(separator, state, resolved, entries) for separator in sorted(wanted)}
        if any(todo.values()):
            check_models(resolved)
        for separator, works in todo.items():
            if failed := {work.entry.fingerprint for work in works} & state.aside.keys():
                run.table.pardon(failed)
            run.tokenize(works, state.facts, state, replace(resolved.identity, separator=separator))
        run.check_errors()
    return run.report()


def _wanted(config: RetokenizeConfig, state: TableState) -> set[str]:
    """Ids of the separators in the table whose stems the job is about."""
    found = {separator for _, separator in state.stems}
    if not config.separator:
        return found
    # A name may be an id of an earlier release as well, which counts only if the present procedure made no stems.
    present = found & {model_id(config.separator, "separator")}
    return present or found & {config.separator}


def _moved(table: TokenTable, state: TableState, wanted: Collection[str], root: str) -> TableState:
    """The state with stems at their new place, if they are there; the table records it."""
    rows = [row for row in state.stems.values() if row.separator in wanted]
    folders = [f"{root.rstrip('/')}/{row.folder.rstrip('/').rpartition('/')[2]}" for row in rows]
    there = in_parallel(exists, folders)
    found = {
        (row.song_id, row.separator): folder
        for row, folder, is_there in zip(rows, folders, there, strict=True)
        if is_there
    }
    if not found:
        raise StemsError(
            f"None of the {len(rows)} kept stems lies in '{root}'; the first was kept in '{rows[0].folder}'.",
            "Name the folder that holds one folder for each song.",
            code="missing",
            field="stems",
        )
    if len(found) < len(rows):
        logger.warning("%d of %d kept stems do not lie in '%s'.", len(rows) - len(found), len(rows), root)
    table.revise_stems(found)
    moved = {key: replace(state.stems[key], folder=folder) for key, folder in found.items()}
    return replace(state, stems={**state.stems, **moved})


def _entries(table: TokenTable, state: TableState) -> dict[str, CatalogEntry]:
    """The catalog entry of each song; of several files with the same audio, the one that its tokens name."""
    named = {row.fingerprint for rows in state.tokenized.values() for row in rows}
    rows = table.catalog(["song_id", "fingerprint", "entry"]).to_pylist()
    rows.sort(key=lambda row: (row["fingerprint"] not in named, row["fingerprint"]))
    texts: dict[str, str] = {}
    for row in rows:
        texts.setdefault(row["song_id"], row["entry"])
    entries = {song: entry_from_json(text) for song, text in texts.items()}
    return {song: entry for song, entry in entries.items() if entry.fingerprint in state.facts}


def _works(
    separator: str, state: TableState, resolved: ResolvedRun, entries: Mapping[str, CatalogEntry]
) -> list[Work]:
    """The songs with stems by a separator that these codecs have not tokenized, unless they count as sung."""
    works = []
    for row in sorted((row for row in state.stems.values() if row.separator == separator), key=lambda r: r.song_id):
        _check_stems(row, resolved.layout.names)
        song, codecs = state.song(row.song_id, separator), resolved.identity.codecs
        if song.has_codes_by(codecs) or song.left_out or row.song_id not in entries:
            continue
        rows = state.tokenized.get(row.song_id, ())
        entry = with_words(entries[row.song_id], rows[0].words) if rows else entries[row.song_id]
        works.append(song.work(entry, state.facts[entry.fingerprint], separator, resolved.layout, codecs))
    return works


def _check_stems(row: StemsRow, names: Sequence[str]) -> None:
    lacks = [name for name in names if name not in row.stems]
    if lacks:
        raise StemsError(
            f"The stems in '{row.folder}' lack '{lacks[0]}'.",
            f"Use a layout of {', '.join(row.stems)}, or separate again with `stems prepare`.",
            field="layout",
        )
