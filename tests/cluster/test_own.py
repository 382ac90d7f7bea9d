"""A Ray for one command: its folder, its token, and its end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from cluster.own import OwnRay, check_folder, provide_token
from models.errors import StemsError


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_too_long_for_sockets_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(variable, f"/tmp/{'x' * 80}")
    with pytest.raises(StemsError, match=f"{variable}=.*too long") as caught:
        check_folder()
    assert "RAY_TMPDIR" in caught.value.hint
    assert not Path(f"/tmp/{'x' * 80}").exists()


def test_a_folder_that_cannot_be_made_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_TMPDIR", "file")
    with pytest.raises(StemsError, match="RAY_TMPDIR=file"):
        check_folder()


def test_a_relative_folder_is_made_absolute_since_ray_hangs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/tmp")
    monkeypatch.setenv("RAY_TMPDIR", ".")
    check_folder()
    assert os.environ["RAY_TMPDIR"] == "/tmp"


def test_without_a_home_to_write_to_ray_still_has_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    provide_token()
    assert len(os.environ.pop("RAY_AUTH_TOKEN")) == 64


def test_an_interrupted_start_leaves_none_of_its_processes() -> None:
    children = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"

    def interrupted() -> psutil.Process:
        with OwnRay():
            child = subprocess.Popen([sys.executable, "-c", children], stdout=subprocess.PIPE)
            assert child.stdout is not None
            child.stdout.readline()
            started.extend([psutil.Process(child.pid), *psutil.Process(child.pid).children()])
            raise KeyboardInterrupt

    started: list[psutil.Process] = []
    with subprocess.Popen(["sleep", "60"]) as other:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert len(started) == 2
        assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in started)
        assert other.poll() is None
        other.kill()


@pytest.mark.slow
def test_a_command_starts_a_ray_of_its_own_beside_a_cluster_and_leaves_nothing(tmp_path: Path) -> None:
    """RAY_ADDRESS alone decides: not the file that `ray start` leaves, nor a dead cluster in it."""
    code = textwrap.dedent("""
        import os, psutil, ray
        from cluster.connect import connect
        assert connect() is True
        assert ray.get_runtime_context().gcs_address != os.environ["OTHERS"]
        print(*[p.pid for p in psutil.Process().children(recursive=True)])
    """)
    folder = Path("/tmp") / f"r-{os.getpid()}"
    (folder / "ray").mkdir(parents=True)
    (folder / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    environment = {**os.environ, "RAY_TMPDIR": str(folder), "OTHERS": "127.0.0.1:1"}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(psutil.pid_exists(int(pid)) for pid in done.stdout.split())
