"""Compiled kernels are kept where this user may write, and loaded from nowhere that others may."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.lm.engine.native import build


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"musicgen-stem-{os.getuid()}"


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null", "/dev/null/x"])
def test_without_a_home_to_write_they_lie_among_temporary_files(
    temporary: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    assert build._cache() == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_a_home_that_nobody_has_is_as_none(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(build.Path, "home", no_home)
    assert build._cache() == temporary


@pytest.mark.parametrize(
    "kind",
    [
        "others may write",
        "a link",
        pytest.param("another's", marks=pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")),
    ],
)
def test_a_temporary_folder_that_others_made_is_not_used(
    temporary: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/nowhere")
    if kind == "a link":
        temporary.symlink_to(tmp_path)
    else:
        temporary.mkdir()
        temporary.chmod(0o777 if kind == "others may write" else 0o700)
    if kind == "another's":
        os.chown(temporary, 12345, 12345)
    with pytest.raises(PermissionError, match="other users can write"):
        build._cache()
    assert build.loaded.__wrapped__() is None
