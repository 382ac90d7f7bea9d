"""Every command with settings that work, but for one: what a person may do wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.broken_models import broken_copy, damages
from helpers.tiny import noise, tiny_assembly_directory

import cli
from models.audio.files import write_audio

MODELS = ("model", "lm", "codecs", "separator", "start_from")
"""Settings that name a model or a part of one."""
INPUTS = ("catalog", "song", "data", "stems", "source", "manifest", "table", "a", "b")
"""Settings that name something else to be read."""

_MADE = {(f"prepare{sub}", "table") for sub in ("", " plan", " retry-quarantined")}  # a command makes it
_NAMES = {("retokenize", "separator")}  # not a place

Path_ = tuple[str, ...]


@dataclass(frozen=True)
class House:
    """A folder with something valid for every setting."""

    root: Path

    @classmethod
    def build(cls, root: Path) -> House:
        tiny_assembly_directory(root / "model")
        for stem in ("bass", "drums"):
            write_audio(root / "song" / f"{stem}.wav", noise(0.5))
        write_audio(root / "catalog" / "a.wav", noise(6.0, channels=2))
        for name in ("one", "two"):
            for stem in ("bass", "drums", "other", "vocals"):
                write_audio(root / "multitracks" / name / f"{stem}.wav", noise(2.0, channels=2))
        return cls(root)

    def words(self, path: Path_, wrong: str = "", value: object = "") -> list[str]:
        """A whole command line; with one wrong value."""
        command, model = cli.COMMANDS[path], self.root / "model"
        valid: dict[str, object] = {
            "model": model, "lm": model / "lm", "codecs": model / "codecs", "separator": model / "separator",
            "catalog": self.root / "catalog", "song": self.root / "song", "data": self.root / "multitracks",
            "stems": self.root / "multitracks", "stem": "bass", "table": self.root / "table", "preset": "tiny",
            "a": self.root / "table", "b": self.root / "table", "songs": "x", "steps": 1, "patience": 0,
            "server": "http://127.0.0.1:1", "output": self.root / "-".join(path), "results": self.root / "results",
            "state": f"sqlite:///{self.root / 'state.db'}", "source": self.root / "catalog",
        }  # fmt: skip
        own: dict[str, dict[str, object]] = {
            "import": {"source": model / "codecs" / "bass"},
            "retokenize": {"separator": ""},
            "keys": {"name": "ann"},
            "train": {"tracking": "off"},
        }
        valid |= own.get(path[0], {})
        valid |= {wrong: value} if wrong else {}
        fields = command.load_settings().model_fields
        given = {name: str(valid[name]) for name in fields if name in valid}
        places = [given.pop(name) for name in command.positional]
        return [*path, *places, *(f"--{name}={text}" for name, text in given.items())]


def settings(among: tuple[str, ...]) -> Iterator[tuple[Path_, str]]:
    """Commands and such of their settings as name something to be read; the demo makes all that it reads."""
    for path, command in cli.COMMANDS.items():
        for name in command.load_settings().model_fields:
            if name in among and path != ("demo",) and (" ".join(path), name) not in _MADE | _NAMES:
                yield path, name


def odd_places(folder: Path) -> dict[str, str]:
    """Places where a person may point by mistake, each of which must neither hang nor crash a command."""
    folder.mkdir()
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "words").write_text("these are words", encoding="utf-8")
    (folder / "two\nlines").touch()
    there = {name: str(folder / name) for name in ("empty", "folder", "pipe", "loop", "words", "two\nlines", "none")}
    return there | {
        "no text": f"{folder}/caf\udce9",
        "too long": f"{folder}/{'x' * 300}",
        "in a file": str(folder / "words" / "x"),
        "NUL": f"{folder}/\0",
    }


def damaged_models(model: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Whole models, each with one damaged file: a few of the ways that there are."""
    chosen: dict[str, Callable[[str], bool]] = {
        "lm/model.safetensors": lambda what: what in ("NaN", "cut short", "other weights"),
        "lm/config.json": lambda what: what in ("text", "a list", "layers='2'"),
        "codecs/bass/model.safetensors": lambda what: what in ("NaN", "other weights"),
        "separator/model.safetensors": lambda what: what == "cut short",
        "separator/config.json": lambda what: what == "an empty object",
        "assembly.json": lambda what: what in ("text", "a named pipe"),
    }
    for number, (file, what, damage) in enumerate(damages()):
        if file in chosen and chosen[file](what):
            yield file, broken_copy(model, folder / str(number), file, damage)
