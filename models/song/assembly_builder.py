"""Assemble trained parts to one model directory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from models.errors import StemsError
from models.files.licence import keep_licences
from models.files.output_folder import check_folder, replacing
from models.files.output_listing import is_model
from models.files.storage import bytes_in
from models.lm.language_model import MAX_SECONDS
from models.separation.directory import CONFIG
from models.song.assembly import Assembly
from models.song.model_check import check_parts
from models.song.model_directory import ABOUT, write_about


def assemble(
    directory: Path, lm: Path, codecs: Mapping[str, Path], separator: Path | None, max_seconds: float = MAX_SECONDS
) -> Assembly:
    """Copy trained parts into one directory that :meth:`Assembly.load` opens, and open it.

    An existing model is replaced after the new one was opened.

    Raises:
        StemsError: a part is missing or does not fit the others, or ``directory`` holds something else.
    """
    target = check_assembly_folder(directory)
    if separator is not None and not (separator / CONFIG).is_file():
        raise StemsError(
            f"'{separator}' is not a separator: it has no {CONFIG}.",
            "Give a directory that `stems train separator` wrote, or leave it out.",
            code="missing",
            field="separator",
        )
    check_parts(lm, codecs, separator)  # before gigabytes are copied
    parts = {"lm": lm, **{f"codecs/{name}": source for name, source in codecs.items()}}
    if separator is not None:
        parts["separator"] = separator
    with replacing(target, sum(map(bytes_in, parts.values())), ours=_is_assembly) as partial:
        for name, source in parts.items():
            shutil.copytree(source, partial / name)
        write_about(partial, max_seconds)
        keep_licences([partial / "lm", *(partial / "codecs" / name for name in codecs)], partial)
        model = Assembly.load(partial)
        _check_separator(model)
    return model


def check_assembly_folder(directory: Path | str) -> Path:
    """Refuse, before the work, a directory that holds anything but a whole model; see :func:`check_folder`."""
    return check_folder(directory, ours=_is_assembly)


def _is_assembly(directory: Path) -> bool:
    return (directory / ABOUT).is_file() and is_model(directory)


def _check_separator(model: Assembly) -> None:
    sources = model.separator.sources if model.separator else model.layout.names
    if lost := [name for name in model.layout.names if name not in sources]:
        raise StemsError(
            f"The separator has no {', '.join(lost)}: its sources are {', '.join(sources)}.",
            "Use the separator of the token table, or leave it out.",
            field="separator",
        )
