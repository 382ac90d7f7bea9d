"""The process around a command: its encoding, its signals, its working directory, its output."""

from __future__ import annotations

import codecs
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from models.errors import StemsError

CLOSED_PIPE = 141
"""Exit code of a program whose reader, such as `head`, has read enough: 128 and SIGPIPE."""


def use_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale knows ASCII alone, as in bare containers.

    Prompts and names of files, in arguments and in files, would be lost or end a job otherwise.
    """
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii":
        words = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, words, {**os.environ, "PYTHONUTF8": "1"})


def write_any_name() -> None:
    """A name that cannot be written ends no job: marks stand in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def check_working_directory() -> None:
    """Libraries end the process with messages of their own where it is gone, some of them while they are loaded."""
    try:
        os.getcwd()  # noqa: PTH109 - as they do it
    except OSError as error:
        raise StemsError("The working directory is gone.", "Change to a directory that exists.") from error


class _InterruptedError(KeyboardInterrupt):
    """Python forgets an exit code after a plain KeyboardInterrupt that came while a module was imported."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """A scheduler's stop signal ends a job as Ctrl-C does. Only the main thread may listen to signals."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _InterruptedError

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_what_is_left() -> bool:
    """Flush standard output; False where its reader is gone, and nothing more is written then."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        forget_output()
        return False
    return True


def reader_is_gone() -> bool:
    """Whether standard output is a pipe that no one reads any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):  # not a file, or closed
        return False


def forget_output() -> None:
    """Send what is still in the buffer, and what may come, nowhere; Python would complain of it as it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
