"""Which file is which stem, by its name. Nothing is guessed: a likely name is offered, and not taken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from models.audio.formats import is_audio_name, listed_suffixes
from models.errors import StemsError
from models.stems import MIX

_OTHER_SUFFIXES = (".alac", ".ape", ".m4b", ".m4p", ".mka", ".mp2", ".mp4", ".rf64", ".snd", ".wma", ".wv")
"""Suffixes of sounds that are not read, or only in another container."""

_SHOWN = 5


def sound_files(folder: Path) -> list[Path]:
    """The sounds in a folder, in the order of their names, without the mix that lies beside stems.

    Raises:
        StemsError: the folder cannot be read, or a sound in it is in a format that is not taken.
    """
    try:
        found = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise StemsError(
            f"The folder '{folder}' cannot be read: {error.strerror or error}.",
            "Give a folder of stems that you may read.",
            code="missing",
            field="song",
        ) from error
    strange = [file for file in found if file.name.lower().endswith(_OTHER_SUFFIXES)]
    if strange:
        raise StemsError(
            f"{_listed(file.name for file in strange)} in '{folder}' cannot be taken as a stem.",
            f"Convert to one of {listed_suffixes()}, or move out of the folder.",
            code="unsupported",
            field="song",
        )
    return [file for file in found if is_audio_name(file.name)]


def without_mix(files: Iterable[Path]) -> list[Path]:
    """The same without the mix, which lies beside the stems that it is the sum of."""
    return [file for file in files if stem_of(file.stem, (MIX,)) is None]


def stem_of(name: str, stems: Collection[str]) -> str | None:
    """The stem that a file or a field is named after, in whatever case and form of Unicode; None for none."""
    return next((stem for stem in stems if _plain(stem) == _plain(name)), None)


def likely_stem(name: str, stems: Collection[str]) -> str | None:
    """The only stem whose name is a word of this one, as in ``song - Bass``, ``bass_01``, ``01 Drums``."""
    words = f" {_words(name)} "
    found = [stem for stem in stems if f" {_words(stem)} " in words]
    return found[0] if len(found) == 1 else None


def check_once(files: Iterable[Path]) -> None:
    """Refuse two files that are named after one stem."""
    seen: dict[str, Path] = {}
    for file in files:
        if (other := seen.setdefault(_plain(file.stem), file)) is not file:
            raise StemsError(
                f"'{other.name}' and '{file.name}' in '{file.parent}' are the same stem.",
                "Leave one file for each stem.",
                field="song",
            )


def stems_in(folder: Path, stems: Collection[str]) -> dict[str, Path]:
    """The stems that a folder has a file for.

    Args:
        folder: a file for each stem, named after it; a mix beside them is left out.
        stems: names of the stems.

    Raises:
        StemsError: there is none, two are of one stem, or a sound is named after none, which the mix may be;
            where its name is likely that of a stem, the error offers it.
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
    """What to rename, where each stem that has no file yet is the likely one of a single file."""
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
    """Its words in lower case, without the numbers of takes and tracks: ``01 Drums-2`` is ``drums``."""
    words = re.split(r"[\W_]+", _plain(name))
    return " ".join(bare for word in words if (bare := word.strip("0123456789")))
