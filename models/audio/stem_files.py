"""Match files to stems by name. Nothing is guessed: a likely match is suggested in the error, not used."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from models.audio.formats import is_audio_name, listed_suffixes
from models.errors import StemsError
from models.stems import MIX

_OTHER_SUFFIXES = (".alac", ".ape", ".m4b", ".m4p", ".mka", ".mp2", ".mp4", ".rf64", ".snd", ".wma", ".wv")
"""Suffixes of audio that is not supported, or only in another container."""

_SHOWN = 5


def sound_files(folder: Path) -> list[Path]:
    """The audio files in a folder, sorted by name.

    Raises:
        StemsError: the folder cannot be read, or it has audio in an unsupported format.
    """
    try:
        found = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise StemsError(
            f"The folder '{folder}' cannot be read: {error.strerror or error}.",
            "Give a readable folder of stems.",
            code="missing",
            field="song",
        ) from error
    strange = [file for file in found if file.name.lower().endswith(_OTHER_SUFFIXES)]
    if strange:
        raise StemsError(
            f"{_listed(file.name for file in strange)} in '{folder}' cannot be used as a stem.",
            f"Convert to one of {listed_suffixes()}, or move out of the folder.",
            code="unsupported",
            field="song",
        )
    return [file for file in found if is_audio_name(file.name)]


def without_mix(files: Iterable[Path]) -> list[Path]:
    """The same files without the mix of the stems."""
    return [file for file in files if stem_of(file.stem, (MIX,)) is None]


def stem_of(name: str, stems: Collection[str]) -> str | None:
    """The stem that a file or a field is named after, in any case and Unicode form; None if there is none."""
    return next((stem for stem in stems if _plain(stem) == _plain(name)), None)


def likely_stem(name: str, stems: Collection[str]) -> str | None:
    """The only stem that is a word of this name, as in ``song - Bass``, ``bass_01``, ``01 Drums``; else None."""
    words = f" {_words(name)} "
    found = [stem for stem in stems if f" {_words(stem)} " in words]
    return found[0] if len(found) == 1 else None


def check_once(files: Iterable[Path]) -> None:
    """Refuse two files named after one stem."""
    seen: dict[str, Path] = {}
    for file in files:
        if (other := seen.setdefault(_plain(file.stem), file)) is not file:
            raise StemsError(
                f"'{other.name}' and '{file.name}' in '{file.parent}' are the same stem.",
                "Leave one file for each stem.",
                field="song",
            )


def stems_in(folder: Path, stems: Collection[str]) -> dict[str, Path]:
    """The stem files of a folder, by stem.

    Args:
        folder: holds one file per stem, named after it; a mix beside them is ignored.
        stems: names of the stems.

    Raises:
        StemsError: the folder has no stems, two files of one stem, or audio that is named after no stem; where its
            name is close to that of a stem, the hint suggests to rename it.
    """
    files = sound_files(folder)
    files = files if MIX in stems else without_mix(files)
    check_once(files)
    found = {stem: file for file in files if (stem := stem_of(file.stem, stems)) is not None}
    others = [file.name for file in files if file not in found.values()]
    if others:
        raise StemsError(
            f"{_listed(others)} in '{folder}' {'is' if len(others) == 1 else 'are'} not named after a stem.",
            _renames(others, [stem for stem in stems if stem not in found]) or _left_out(stems),
            field="song",
        )
    if not found:
        raise StemsError(
            f"'{folder}' has no stems.",
            f"Name audio files after the stems: {', '.join(stems)}.",
            code="missing",
            field="song",
        )
    return found


def _renames(files: list[str], free: list[str]) -> str:
    """A hint to rename files that are each the only likely one of a stem without a file."""
    likely = {file: stem for file in files if (stem := likely_stem(Path(file).stem, free))}
    once = [file for file, stem in likely.items() if list(likely.values()).count(stem) == 1]
    if not once:
        return ""
    said = [f"'{file}' to '{likely[file]}{Path(file).suffix.lower()}'" for file in once[:_SHOWN]]
    rest = "" if len(once) == len(files) else ", and move the others out of the folder"
    return f"Rename {', '.join(said)}{rest}."


def _left_out(stems: Collection[str]) -> str:
    return f"Name one file after each of {', '.join(stems)}, and move others out of the folder."


def _listed(names: Iterable[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    more = f" and {len(quoted) - _SHOWN} more" if len(quoted) > _SHOWN else ""
    return ", ".join(quoted[:_SHOWN]) + more


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _words(name: str) -> str:
    """The words of a name in lower case, without the numbers of takes and tracks: ``01 Drums-2`` is ``drums``."""
    words = re.split(r"[\W_]+", _plain(name))
    return " ".join(bare for word in words if (bare := word.strip("0123456789")))
