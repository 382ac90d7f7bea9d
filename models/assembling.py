"""Trained parts into one model directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from models.assembly import ABOUT, Assembly, write_about
from models.errors import StemsError
from models.licence import keep_licences
from models.lm.language_model import MAX_SECONDS
from models.model_check import check_parts
from models.separation.directory import CONFIG


def assemble(
    directory: Path, lm: Path, codecs: Mapping[str, Path], separator: Path | None, max_seconds: float = MAX_SECONDS
) -> Assembly:
    """Copy trained parts into one directory that :meth:`Assembly.load` opens, and open it.

    A model that is there is replaced once the new one was opened.

    Raises:
        StemsError: a part is missing or does not fit the others, or something else lies in ``directory``.
    """
    if directory.exists() and any(directory.iterdir()) and not (directory / ABOUT).is_file():
        raise StemsError(
            f"'{directory}' holds something that is not a model.", "Choose another directory.", field="output"
        )
    if separator is not None and not (separator / CONFIG).is_file():
        raise StemsError(
            f"'{separator}' is not a separator: it has no {CONFIG}.",
            "Give a directory that `stems train separator` wrote, or leave it out.",
            code="missing",
            field="separator",
        )
    check_parts(lm, codecs, separator)  # before gigabytes are copied
    directory = directory.absolute()
    partial = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(lm, partial / "lm")
        for name, source in codecs.items():
            shutil.copytree(source, partial / "codecs" / name)
        if separator is not None:
            shutil.copytree(separator, partial / "separator")
        write_about(partial, max_seconds)
        keep_licences([partial / "lm", *(partial / "codecs" / name for name in codecs)], partial)
        model = Assembly.load(partial)
        _check_separator(model)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model


def _check_separator(model: Assembly) -> None:
    sources = model.separator.sources if model.separator else model.layout.names
    if lost := [name for name in model.layout.names if name not in sources]:
        raise StemsError(
            f"The separator does not give {', '.join(lost)}: its sources are {', '.join(sources)}.",
            "Take the one that made the token table, or leave it out.",
            field="separator",
        )
