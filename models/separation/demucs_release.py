"""Released separators: by name from the hub, or from a local demucs repository.

Only Hybrid Transformer Demucs is accepted. Weights are read as safetensors (hub) or with torch's
restricted unpickler (local repositories), so a checkpoint cannot run code.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import StemsError, first_line
from models.files.model_files import check_finite

if TYPE_CHECKING:
    from demucs.htdemucs import HTDemucs

RELEASED = ("htdemucs", "htdemucs_ft", "htdemucs_6s")
_HINT = "Train one with `stems train separator`, or pass the directory of one."


def load_released(name: str) -> tuple[list[HTDemucs], list[list[float]]]:
    """The networks of a released separator and their weights per source.

    Raises:
        StemsError: the name is unknown, or the separator could not be downloaded.
    """
    if name not in RELEASED:
        raise StemsError(
            f"'{name}' is neither a directory nor a released separator ({', '.join(RELEASED)}).",
            _HINT,
            code="not_found",
            field="separator",
        )
    from demucs.pretrained import get_model

    try:
        found = get_model(f"hf://{name}")  # the hub's safetensors; never the older pickled files
    except Exception as error:  # any error of the network, the cache or the hub
        raise StemsError(
            f"The released separator '{name}' could not be downloaded ({type(error).__name__}: {first_line(error)}).",
            _HINT,
            code="unreachable",
            field="separator",
        ) from error
    return _members(found, name)


def load_repository(path: Path) -> tuple[list[HTDemucs], list[list[float]]]:
    """The same from a demucs repository: `<signature>.th` files, and `<name>.yaml` for bags of them.

    `path` is a bag's yaml file, a `.th` file, or a folder that holds exactly one bag or model.

    Raises:
        StemsError: there is no model, several models, or a damaged file.
    """
    file = path if path.is_file() else _only_model(path)
    from demucs.repo import AnyModelRepo, BagOnlyRepo

    models = _repository(file.parent)
    try:
        found = AnyModelRepo(models, BagOnlyRepo(file.parent, models)).get_model(_signature(file))
    except Exception as error:  # a damaged file may raise anything
        raise StemsError(
            f"'{file}' cannot be read as a demucs model: {first_line(error)}.",
            _HINT,
            code="unreadable",
            field="separator",
        ) from error
    return _members(found, str(file))


def _signature(file: Path) -> str:
    # demucs names weight files `<signature>-<checksum>.th`.
    return file.stem.rsplit("-", 1)[0] if file.suffix == ".th" else file.stem


def _only_model(folder: Path) -> Path:
    found = sorted(folder.glob("*.yaml")) or sorted(folder.glob("*.th"))
    if len(found) == 1:
        return found[0]
    what = f"holds {len(found)} models" if found else "holds neither config.json nor a demucs model"
    hint = f"Name one of: {', '.join(str(f) for f in found)}." if found else _HINT
    raise StemsError(f"'{folder}' {what}.", hint, code="not_found", field="separator")


def _repository(folder: Path) -> Any:
    import torch
    from demucs.htdemucs import HTDemucs
    from demucs.repo import LocalRepo, ModelLoadingError, check_checksum
    from demucs.states import load_model

    class Repository(LocalRepo):
        """A demucs repository, read with the restricted unpickler."""

        def get_model(self, sig: str) -> HTDemucs:
            if sig not in self._models:
                raise ModelLoadingError(f"there is no weight file for {sig}")
            if sig in self._checksums:
                check_checksum(self._models[sig], self._checksums[sig])
            with torch.serialization.safe_globals([HTDemucs, Fraction]):
                return load_model(torch.load(self._models[sig], map_location="cpu", weights_only=True))

    return Repository(folder)


def _members(found: Any, name: str) -> tuple[list[HTDemucs], list[list[float]]]:
    from demucs.apply import BagOfModels
    from demucs.htdemucs import HTDemucs

    bag = isinstance(found, BagOfModels)
    models = list(found.models) if bag else [found]
    weights = [[float(w) for w in row] for row in found.weights] if bag else [[1.0] * len(found.sources)]
    for model in models:
        if not isinstance(model, HTDemucs):
            raise StemsError(
                f"'{name}' is a {type(model).__name__}; only Hybrid Transformer Demucs is supported.",
                f"Use one of {', '.join(RELEASED)}.",
                code="unsupported",
                field="separator",
            )
        check_finite(model.state_dict(), f"The separator '{name}'", "separator")
    return [model.eval() for model in models], weights
