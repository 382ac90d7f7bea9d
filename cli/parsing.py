"""From the words of a command line to checked settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from cli.commands import COMMANDS, Path
from cli.old_spellings import modern
from cli.options import Option, options
from models.errors import StemsError


class WrongSettingsError(Exception):
    """Settings that pydantic refuses, with what is needed to name them as they were given."""

    def __init__(self, path: Path, error: ValidationError, files: dict[str, str]) -> None:
        super().__init__(str(error))
        self.path, self.error, self.files = path, error, files


@dataclass(frozen=True)
class Parsed:
    """Settings, and whether they are to be printed rather than used."""

    settings: BaseModel
    print_only: bool = False


def parse(path: Path, words: Sequence[str]) -> Parsed:
    """Read the files of ``--config``, then the command line, which wins, and check both together.

    Raises:
        CycloptsError: the words do not fit the command's options.
        WrongSettingsError: a setting is missing, unknown or out of bounds.
        StemsError: a file of settings cannot be understood, or a name holds a NUL.
        OSError: a file of settings cannot be read.
    """
    from cli.app import sort_words
    from cli.values import value_of

    known = options(COMMANDS[path])
    typed = sort_words(path, modern(words, known))
    values: dict[str, Any] = {}
    files: dict[str, str] = {}  # the file that each setting comes from
    for token in typed.get("config", []):
        from cli.settings_file import read_settings

        found = read_settings(token.value)
        values |= found
        files |= dict.fromkeys(found, token.value)
    for option in known:
        if option.setting in typed:
            values[option.setting] = value_of(option, typed[option.setting])
            files.pop(option.setting, None)
    try:
        settings = COMMANDS[path].load_settings()(**values)
    except ValidationError as error:
        raise WrongSettingsError(path, error, files) from error
    _refuse_nul(settings, known)
    return Parsed(settings, print_only="print_config" in typed)


def as_yaml(path: Path, settings: BaseModel) -> str:
    """Settings as a file that ``--config`` reads, in the order of help and without secrets."""
    import yaml

    plain, fields = settings.model_dump(mode="json"), type(settings).model_fields
    names = [option.setting for option in options(COMMANDS[path]) if fields[option.setting].repr]
    return yaml.safe_dump({name: plain[name] for name in names}, sort_keys=False, allow_unicode=True)


def _refuse_nul(settings: BaseModel, known: Sequence[Option]) -> None:
    """No name may hold a NUL; a file of settings can."""
    for option in known:
        value = getattr(settings, option.setting)
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and "\0" in text:
                raise StemsError(f"{option.flag} holds a NUL character.", "Take it out.", field=option.setting)
