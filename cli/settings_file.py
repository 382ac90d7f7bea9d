"""Settings from a YAML file (`--config FILE.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from models.errors import StemsError


def read_settings(file: str) -> dict[str, Any]:
    """The settings in a file by name; dashes in names count as underscores.

    Raises:
        StemsError: it is not YAML, or not a mapping of names to values.
        OSError: it cannot be read.
    """
    try:
        content = yaml.safe_load(Path(file).read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise _wrong(f"'{file}' is not YAML{where}: {what}.", "Write a line NAME: VALUE for each setting.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "no settings"
        raise _wrong(f"'{file}' holds {kind}.", "Write a line NAME: VALUE for each setting.")
    return {str(name).replace("-", "_"): value for name, value in content.items()}


def _wrong(message: str, hint: str) -> StemsError:
    return StemsError(message, hint, code="config", field="config")
