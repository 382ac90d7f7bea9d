"""Read the files of a model, which may be damaged, foreign or hostile; every error names the file."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.errors import StemsError, first_line

_LARGEST_SETTINGS = 16 * 2**20
COPY_AGAIN = "Copy the model's whole directory again, or export it again."


def check_file(file: Path, field: str) -> None:
    """Refuse a path that is not a readable file: missing, a folder, or a pipe, which would never end.

    Raises:
        StemsError: with code ``missing`` or ``unreadable``.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise StemsError(f"'{file}' is not a file.", COPY_AGAIN, code="unreadable", field=field)
        if status.st_size == 0:
            raise StemsError(f"'{file}' is empty.", COPY_AGAIN, code="unreadable", field=field)
        with file.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StemsError(f"There is no '{file}'.", COPY_AGAIN, code="missing", field=field) from error
    except PermissionError as error:
        raise unreadable(file, error, field, "Give this user permission to read the model's files.") from error
    except (OSError, ValueError) as error:
        raise unreadable(file, error, field) from error


def read_settings(file: Path, field: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        StemsError: the file is missing, too large, not JSON, or not an object.
    """
    check_file(file, field)
    if file.stat().st_size > _LARGEST_SETTINGS:
        size = f"'{file}' has {file.stat().st_size / 1e6:.0f} MB, too much for a model's settings."
        raise StemsError(size, COPY_AGAIN, code="unreadable", field=field)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(file, error, field) from error
    if not isinstance(settings, dict):
        raise unreadable(file, "it is not a JSON object", field)
    return settings


def read_weights(file: Path, shapes: Mapping[str, torch.Size], field: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Args:
        file: the file.
        shapes: the expected shapes by name; compared before anything large is read.
        field: the setting that named the model.

    Raises:
        StemsError: the file is damaged, has other tensors, or weights that are not finite.
    """
    return dict(_tensors(file, shapes, field))


def check_weights(file: Path, shapes: Mapping[str, torch.Size], field: str) -> None:
    """Make the checks of :func:`read_weights` in the memory of the largest tensor."""
    for _ in _tensors(file, shapes, field):
        pass


def check_finite(weights: Mapping[str, Tensor], place: Path | str, field: str) -> None:
    """Refuse weights that are not finite: such a model produces noise.

    Raises:
        StemsError: with code ``not_finite``; it names ``place`` and the first such tensor.
    """
    for name, tensor in weights.items():
        if not _is_finite(tensor):
            raise StemsError(
                f"{_named(place)} has weights that are not finite (in {name}).",
                "Export the model again from an earlier checkpoint.",
                code="not_finite",
                field=field,
            )


def check_all_came(loading: dict[str, Any], what: Path | str, field: str) -> None:
    """Refuse a model for which transformers found only some weights: it would draw the others at random.

    Args:
        loading: the loading info that ``from_pretrained`` returns with ``output_loading_info``.
        what: the model, as the error names it.
        field: the setting that named it.
    """
    lost = sorted(map(str, (*loading["missing_keys"], *loading["mismatched_keys"])))
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise unreadable(what, f"its weights lack {lost[0]}{more}", field)


def unreadable(what: Path | str, why: Exception | str, field: str, hint: str = COPY_AGAIN) -> StemsError:
    """The error for something unreadable: a path, or a phrase such as ``The T5 'name'``."""
    why = why if isinstance(why, str) else first_line(why)
    return StemsError(f"{_named(what)} cannot be read: {why}.", hint, code="unreadable", field=field)


@contextmanager
def foreign(what: Path | str, field: str, hint: str = COPY_AGAIN) -> Iterator[None]:
    """While a library reads foreign data, turn any error that it raises into one that names ``what``."""
    try:
        yield
    except StemsError:
        raise
    except Exception as error:  # a damaged file may make a library raise anything
        raise unreadable(what, error, field, hint) from error


def _named(what: Path | str) -> str:
    return f"'{what}'" if isinstance(what, Path) else what


def _tensors(file: Path, shapes: Mapping[str, torch.Size], field: str) -> Iterator[tuple[str, Tensor]]:
    check_file(file, field)
    try:
        with safe_open(file, framework="pt") as opened:
            found = {name: torch.Size(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            _check_shapes(file, found, shapes, field)
            for name in found:
                tensor = opened.get_tensor(name)
                check_finite({name: tensor}, file, field)
                yield name, tensor
    except (SafetensorError, OSError, ValueError, MemoryError) as error:  # a wrong size may claim all memory
        raise unreadable(file, error, field) from error


def _check_shapes(file: Path, found: Mapping[str, torch.Size], wanted: Mapping[str, torch.Size], field: str) -> None:
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            there, want = (str(list(each[name])) if name in each else "nothing" for each in (found, wanted))
            raise StemsError(
                f"The weights in '{file}' do not fit the config.json beside them: {name} is {there}, not {want}.",
                COPY_AGAIN,
                code="unreadable",
                field=field,
            )


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    # A sum needs one pass and no extra tensor. Where it overflows, an exact check decides.
    total = tensor.sum() if tensor.is_complex() else tensor.sum(dtype=torch.float32)
    return math.isfinite(abs(total.item())) or bool(torch.isfinite(tensor).all())
