"""What went wrong, in one line that says how to fix it, and the exit code for it."""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile

from cli.wording import one_line
from models.errors import StemsError

INTERNAL, USER_ERROR, INTERRUPTED = 1, 2, 130

EXIT_CODES = {"too_many_errors": 3, "contract": 4}
"""Exit codes of errors by their code; of all others it is USER_ERROR."""

_FILES_AT_FAULT = {
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a part of it is not a folder.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EEXIST: "Choose another place, or move what is there.",
    errno.ENOTEMPTY: "Choose another place, or move what is there.",
    errno.ELOOP: "Remove the links that lead to each other.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EACCES: "Choose a place that you may use, or change its rights.",
    errno.EPERM: "Choose a place that you may use, or change its rights.",
    errno.EROFS: "Choose a place that can be written.",
    errno.ENOSPC: "Make room there, or choose another place.",
    errno.EDQUOT: "Make room there, or choose another place.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.EIO: "Check the disk.",
}
"""What the system may refuse of a file, and what a person does about it."""


def report(error: Exception) -> int:
    """Say what a job ended with, and give the exit code."""
    from models.files.storage import storage_error

    if isinstance(error, StemsError):
        return fail(one_line(str(error)), EXIT_CODES.get(error.code, USER_ERROR))
    if isinstance(error, OSError) and error.filename is not None and error.errno in _FILES_AT_FAULT:
        name = one_line(os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename))
        return fail(f"'{name}': {error.strerror}. {_FILES_AT_FAULT[error.errno]}")
    if isinstance(error, UnicodeEncodeError) and re.search("[\ud800-\udfff]", error.object):
        return fail(f"{error.object[:200]!a} is not written in UTF-8. Rename it.")
    if (found := storage_error(error, getattr(error, "filename", None) or tempfile.gettempdir())) is not None:
        return fail(one_line(str(found)))
    return fail(f"{type(error).__name__}: {error}\nFor the traceback, add --debug.", INTERNAL)


def fail(message: str, status: int = USER_ERROR) -> int:
    """Print an error and give its exit code."""
    print(f"stems: {message}", file=sys.stderr)
    return status
