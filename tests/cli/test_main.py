"""How a command ends: exit codes, signals, the process around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.take_songs import Job, Run, Settings

import cli
from models.errors import StemsError

ROOT = Path(cli.__file__).parents[1]
STEMS = [sys.executable, "-m", "cli"]


@dataclass(frozen=True)
class Result:
    exit_code: int


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StemsError("no such file", code="missing"), 2),
        (StemsError("7 of 10 files failed", code="too_many_errors"), 3),
        (StemsError("a code is too large", code="contract"), 4),
        (KeyboardInterrupt(), 130),
        (RuntimeError("a bug"), 1),
    ],
)
def test_the_exit_code_says_how_a_job_ended(
    run: Run, job: Callable[[Job], None], error: BaseException, status: int
) -> None:
    def fail(settings: Settings) -> None:
        raise error

    job(fail)
    found, _, message = run("take", "t", "a")
    assert found == status
    assert str(error) in message


@pytest.mark.parametrize("status", [0, 3])
def test_a_result_may_say_the_exit_code(run: Run, job: Callable[[Job], None], status: int) -> None:
    job(lambda settings: Result(status))
    assert run("take", "t", "a")[0] == status


def test_sigterm_interrupts_and_lets_the_job_clean_up(run: Run, job: Callable[[Job], None]) -> None:
    cleaned: list[bool] = []

    def be_stopped(settings: Settings) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("the job went on")
        finally:
            cleaned.append(True)

    job(be_stopped)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert run("take", "t", "a") == (130, "", "stems: interrupted; run the same command to go on.\n")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert cleaned == [True]


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(Exception, match=r"assembly\.json"):
        cli.main(["--debug", "generate", "--model", "/nowhere"])


def test_a_reader_that_has_read_enough_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m cli serve --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["edit", "--help"], ["edit", "--sed", "1"]])
def test_nothing_heavy_is_imported_before_it_is_needed(words: list[str]) -> None:
    heavy = ("torch", "ray", "transformers", "pyarrow", "mlflow", "numpy", "pandas")
    script = (
        "import sys, cli\n"
        "cli.main(sys.argv[1:])\n"
        f"sys.exit(' '.join(name for name in {heavy} if name in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.splitlines()[-1:] in (
        [],
        ["stems: --sed is not an option of `stems edit`. Did you mean --seed?"],
    )
