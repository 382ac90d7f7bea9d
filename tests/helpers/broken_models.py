"""Ways in which a model directory can be broken, each with what the error must name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = ("lm/model.safetensors", "codecs/bass/model.safetensors", "separator/model.safetensors")
CONFIGS = ("lm/config.json", "codecs/bass/config.json", "separator/config.json", "assembly.json")

Damage = Callable[[Path], object]


def _text(text: str) -> Damage:
    return lambda file: file.write_text(text, encoding="utf-8")


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _foreign(file: Path) -> None:
    save_file({"somebody.elses.weight": torch.zeros(3)}, file)


def _pickle(file: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, file)


def with_value(file: Path, value: float) -> None:
    """Put one such number into every floating-point weight."""
    weights = load_file(file)
    for tensor in weights.values():
        if tensor.is_floating_point() and tensor.numel():
            tensor.view(-1)[-1] = value
    save_file(weights, file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _huge(file: Path) -> None:
    os.truncate(file, 2**36)  # a hole: it takes no room


def _setting(name: str, value: Any) -> Damage:
    def change(file: Path) -> None:
        config = json.loads(file.read_text(encoding="utf-8"))
        *path, last = name.split(".")
        part = config
        for key in path:
            part = part[key]
        part[last] = value
        file.write_text(json.dumps(config), encoding="utf-8")

    return change


EVERY_FILE: dict[str, Damage] = {
    "an empty file": _text(""),
    "a folder": _folder,
    "a named pipe": _fifo,
    "a link to itself": _loop,
    "text": _text("it was a dark and stormy night"),
}
OF_WEIGHTS: dict[str, Damage] = {
    "cut short": _cut,
    "other weights": _foreign,
    "a pickle": _pickle,
    "a hole": _huge,
    "NaN": lambda file: with_value(file, float("nan")),
    "infinity": lambda file: with_value(file, float("-inf")),
}
OF_CONFIGS: dict[str, Damage] = {
    "a list": _text("[1, 2]"),
    "a number": _text("3"),
    "null": _text("null"),
    "nested too deeply": _text("[" * 200_000),
    "not UTF-8": lambda file: file.write_bytes(b'{"a": "\xff\xfe"}'),
    "an empty object": _text("{}"),
    "a hole": _huge,
}
OF_SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "lm/config.json": {
        "layout": ("bass:1", [], [{"name": "../x", "codebooks": 1}], [{"name": "bass"}], [3], None),
        "layers": (-1, 0, "2", 2.5, 10**9, None, True),
        "dim": (0, 33, 10**12, [32]),
        "heads": (0, 5),
        "cardinality": (-16, 10**9),
        "segment_frames": (0, "sixty"),
        "frame_rate": (0, float("nan"), "50"),
        "text": ({}, {"kind": "words", "dim": 16}, {"kind": "bytes", "dim": 17}, {"kind": "bytes", "dim": -16}, 7),
        "codecs": ({"bass": 3}, []),
        "unknown": (1,),
    },
    "codecs/bass/config.json": {
        "hidden_size": (-8, 0, "8", 10**9),
        "codebook_size": (0, -4, 10**9, "16"),
        "num_filters": (0, -1, 10**7),
        "upsampling_ratios": ([], [0, 5, 4, 4], "8544", [8, -5, 4, 4], 3),
        "target_bandwidths": ([], [0], ["a"], 3, [10**9]),
        "sampling_rate": (0, -32_000, "32000"),
        "num_lstm_layers": (-1, 10**9),
        "num_residual_layers": (10**9,),
        "audio_channels": (2, 0, None),
    },
    "separator/config.json": {
        "arguments": ([], {}, "sources", None),
        "arguments.sources": ("drums", [], 3),
        "arguments.segment": ("1/0", 0, -1, "long", None),
        "arguments.channels": (0, -8, "8", 10**9),
        "arguments.depth": (0, -1, 40, 10**9),
        "arguments.nfft": (0, 1, 10**12),
        "arguments.samplerate": (0, "44100"),
        "arguments.surprise": (1,),
        "vocal_threshold": ("loud", [], float("nan")),
    },
    "assembly.json": {
        "max_seconds": (0, -1, "600", None, float("nan"), float("inf"), [600], True),
        "format": (2, "one"),
    },
}


def damages() -> Iterator[tuple[str, str, Damage]]:
    """What is damaged, how, and how to do it."""
    for file in (*WEIGHTS, *CONFIGS):
        kinds = OF_WEIGHTS if file in WEIGHTS else OF_CONFIGS
        for what, damage in (EVERY_FILE | kinds).items():
            if not (file == "assembly.json" and what == "an empty object"):  # which says nothing wrong
                yield file, what, damage
    for file, settings in OF_SETTINGS.items():
        for name, values in settings.items():
            for value in values:
                yield file, f"{name}={value!r}", _setting(name, value)


def broken_copy(model: Path, folder: Path, file: str, damage: Damage) -> Path:
    """A copy of a model with one damaged file."""
    copy = folder / "broken"
    shutil.copytree(model, copy)
    damage(copy / file)
    return copy


def broken_part(model: Path, folder: Path, file: str, damage: Damage) -> Path:
    """A copy of the directory of that file alone."""
    source = (model / file).parent
    if source == model:
        return broken_copy(model, folder, file, damage)
    part = folder / "part"
    shutil.copytree(source, part)
    damage(part / Path(file).name)
    return part
