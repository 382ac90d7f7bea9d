"""New tokens from kept stems: what a new codec needs, and nothing else, is computed again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry, entry_from_json
from pipelines.catalog.storage.files import exists, in_parallel
from pipelines.table.captions import with_words
from pipelines.table.schema import Identity, StemsRow
from pipelines.table.splits import SUNG
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.choose import missing_stems
from pipelines.tokens.choose.table_state import Known, read_known
from pipelines.tokens.config import RetokenizeConfig
from pipelines.tokens.paths import place
from pipelines.tokens.resolve import check_models, codec_ids, layout_of, model_id
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
    with Run(config) as run:
        layout = layout_of(config)
        codecs = codec_ids(config, layout)
        known = read_known(run.table, Identity("", codecs, ""))
        wanted = _wanted(config, known)
        if not wanted:
            raise StemsError(
                f"The token table '{config.table}' keeps no stems{' of that separator' if config.separator else ''}.",
                "Run `stems prepare --keep-stems FOLDER`.",
                code="empty",
                field="table",
            )
        if config.stems:
            known = _moved(run.table, known, wanted, place(config.stems))
        entries = _entries(run.table, known)
        todo = {name: _works(name, known, layout, codecs, entries) for name in sorted(wanted)}
        if any(todo.values()):
            check_models(config, layout)
        for separator, works in todo.items():
            facts = {work.entry.fingerprint: known.facts[work.entry.fingerprint] for work in works}
            if failed := facts.keys() & known.aside.keys():
                run.table.pardon(failed)
            run.tokenize(works, Identity(separator, codecs, ""), layout, facts, known)
        run.songs = sum(separator in wanted for _, separator in known.stems)
        run.check_errors()
    return run.report()


def _wanted(config: RetokenizeConfig, known: Known) -> set[str]:
    """Ids of the separators whose stems are wanted, of those that there are."""
    found = {separator for _, separator in known.stems}
    if not config.separator:
        return found
    # A name may be an id of an earlier release, too: that is meant where there is nothing by the present procedure.
    present = found & {model_id(config.separator, "separator")}
    return present or found & {config.separator}


def _moved(table: TokenTable, known: Known, wanted: Collection[str], root: str) -> Known:
    """The same, with stems at their new place where they are there, which the table remembers."""
    rows = [row for row in known.stems.values() if row.separator in wanted]
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
    moved = {key: replace(known.stems[key], folder=folder) for key, folder in found.items()}
    return replace(known, stems={**known.stems, **moved})


def _entries(table: TokenTable, known: Known) -> dict[str, CatalogEntry]:
    """What the catalog says of each song: of the file that its tokens name, where several hold the same audio."""
    named = {row.fingerprint for rows in known.made.values() for row in rows}
    rows = table.catalog(["song_id", "fingerprint", "entry"]).to_pylist()
    rows.sort(key=lambda row: (row["fingerprint"] not in named, row["fingerprint"]))
    texts: dict[str, str] = {}
    for row in rows:
        texts.setdefault(row["song_id"], row["entry"])
    entries = {song: entry_from_json(text) for song, text in texts.items()}
    return {song: entry for song, entry in entries.items() if entry.fingerprint in known.facts}


def _works(
    separator: str, known: Known, layout: StemLayout, codecs: str, entries: Mapping[str, CatalogEntry]
) -> list[Work]:
    works = []
    for row in sorted((row for row in known.stems.values() if row.separator == separator), key=lambda r: r.song_id):
        _check_stems(row, layout)
        made = [old for old in known.made.get(row.song_id, ()) if old.separator == separator]
        there = any(old.codecs == codecs for old in made)
        sung = bool(made) and all(old.split == SUNG for old in made)
        left_out = any(old.separator in ("", separator) for old in known.dropped_songs.get(row.song_id, ()))
        if there or sung or left_out or row.song_id not in entries:
            continue
        encode = missing_stems(layout, codecs, made) or layout.names
        of_song = known.made.get(row.song_id, ())
        entry = with_words(entries[row.song_id], of_song[0].words) if of_song else entries[row.song_id]
        works.append(Work(entry, row.song_id, row.seconds, separator, encode, row.folder, row.vocal_score))
    return works


def _check_stems(row: StemsRow, layout: StemLayout) -> None:
    lacks = [name for name in layout.names if name not in row.stems]
    if lacks:
        raise StemsError(
            f"The stems in '{row.folder}' lack '{lacks[0]}'.",
            f"Use a layout of {', '.join(row.stems)}, or separate again with `stems prepare`.",
            field="layout",
        )
