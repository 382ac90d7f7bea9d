"""A Ray for one command alone: where it keeps its sockets, and its token."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from models.errors import StemsError

_LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket on Linux, and its end with 0."""


def own_settings() -> dict[str, Any]:
    """What to give to ``ray.init`` for a Ray of this process alone.

    Raises:
        StemsError: its files cannot be where RAY_TMPDIR or TMPDIR say.
    """
    _check_folder()
    _provide_token()
    return {"address": "local"}


def _check_folder() -> None:
    """Ray's folder for sockets and logs; Ray itself fails after a minute, or with a traceback."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "")
    folder = Path(os.environ.get(variable, "/tmp")).absolute() / "ray"
    named = f"{variable}={os.environ[variable]}" if variable else str(folder)
    longest = f"{folder}/session_{'0' * 26}_{os.getpid()}/sockets/plasma_store"
    if len(os.fsencode(longest)) > _LONGEST_SOCKET:
        most = _LONGEST_SOCKET - (len(os.fsencode(longest)) - len(os.fsencode(folder.parent)))
        raise StemsError(
            f"{named} is too long for Ray's sockets: it has {len(os.fsencode(folder.parent))} bytes, and at most "
            f"{most} are possible.",
            "Set RAY_TMPDIR to a shorter one, such as /tmp.",
            code="folder",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(named, error.strerror or str(error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(named, f"{folder} is not writable")


def _unusable(named: str, reason: str) -> StemsError:
    return StemsError(
        f"Ray cannot keep its files in {named}: {reason}.",
        "Set RAY_TMPDIR to a folder that you may write to, with a short path.",
        code="folder",
    )


def _provide_token() -> None:
    """A token where Ray cannot write the one that it makes: its own place is ~/.ray/auth_token."""
    if {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        return
    folder = Path.home() / ".ray"
    kept = folder / "auth_token"
    if kept.is_file() and os.access(kept, os.R_OK):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK) and not kept.exists()
    except OSError:
        writable = False
    if not writable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
