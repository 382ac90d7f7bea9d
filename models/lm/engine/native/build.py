"""Compile the kernels once, with the machine's own compiler, into the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("kernels.c")
_SOURCES = sorted(_SOURCE.parent.glob("*.[ch]"))
# No fast-math: the order of sums must not depend on the number of rows.
_OPTIONS = ("-O3", "-march=native", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")


@cache
def loaded() -> ctypes.CDLL | None:
    """The compiled kernels; None on machines without AVX2, a C compiler, or the OpenMP that PyTorch brings."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or not _share_openmp():
        return None
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        log.info("No C compiler found: int8 decoding uses PyTorch's products, about half as fast.")
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("The kernels could not be compiled, so int8 decoding uses PyTorch's products: %s", error)
        return None


def _share_openmp() -> bool:
    """Make PyTorch's OpenMP visible to the kernels: two OpenMP runtimes would compete for the cores."""
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    found = set(re.findall(r"/\S*lib(?:gomp|iomp5|omp)[^/\s]*\.so\S*", mapped))
    for file in found:
        ctypes.CDLL(file, mode=ctypes.RTLD_GLOBAL)
    return bool(found)


def _compiled(compiler: str) -> Path:
    """The library for this source, compiler and processor. A missing one is built aside and moved in place."""
    processor = re.search(r"^flags.*$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True, timeout=30).stdout
    made_from = (
        *(source.read_bytes() for source in _SOURCES),
        version,
        (processor[0] if processor else "").encode(),
        repr(_OPTIONS).encode(),
    )
    name = hashlib.sha256(b"\0".join(made_from)).hexdigest()[:16]
    file = _cache() / f"kernels-{name}.so"
    if not file.exists():
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made, linked = Path(folder) / "kernels.o", Path(folder) / "kernels.so"
            _run([compiler, *_OPTIONS, "-c", str(_SOURCE), "-o", str(made)])
            # Linked without -fopenmp, so that the functions of the loaded OpenMP are used.
            _run([compiler, "-shared", str(made), "-o", str(linked), "-lm"])
            linked.replace(file)
    return file


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=120)
    if done.returncode:
        raise subprocess.SubprocessError(done.stderr.strip() or f"{command[0]} failed")


def _cache() -> Path:
    """The folder for compiled kernels: the user's cache, or a temporary folder if that cannot be written.

    The code in it is run, so only this user may be able to write into a temporary folder.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musicgen-stem"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):  # there is no home, or it belongs to another user
        pass
    folder = Path(tempfile.gettempdir()) / f"musicgen-stem-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"other users can write into '{folder}'")
    return folder
