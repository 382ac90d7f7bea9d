"""Why a file is not a usable song: every code that a quarantine row may hold, and its meaning."""

from __future__ import annotations

DUPLICATE = "duplicate"
REMOVED = "removed"
CRASHED = "crashed"
MISSING = "missing"
UNREACHABLE = "unreachable"
CHANGED = "changed"
BROKEN_STEMS = "broken_stems"
NOT_WRITTEN = "storage"
MODELS_FAIL = "models_fail"

FAILED = "failed:"
"""Prefix of the codes of unforeseen errors; the error's type follows."""

PASSED_OVER = frozenset({UNREACHABLE, CHANGED, BROKEN_STEMS})
"""Codes of songs that the next run inspects again: they are reported, but no row is written."""

REASONS = {
    MISSING: "there is no such file",
    "empty": "no bytes, or no audio in them",
    "unreadable": "not audio, or damaged",
    "truncated": "the file ends before its audio does",
    "unsupported": "a format, sample rate or number of channels that is not taken",
    "not_finite": "samples that are not numbers",
    "out_of_range": "samples far beyond full scale",
    "too_short": "shorter than min_seconds",
    "too_long": "longer than max_seconds",
    "too_large": "larger than max_megabytes, or than max_seconds of stereo once it is decoded",
    "silent": "nothing is heard in it",
    "mismatched": "given stems of different sample rates",
    "address": "not an address",
    "host": "on a host that is not allowed",
    "refused": "the host refuses to give it",
    UNREACHABLE: "its store or host does not answer; the next run asks again",
    CHANGED: "another file has taken its place since it was listed or looked at; never stored",
    BROKEN_STEMS: "its kept stems are gone or damaged, and the job has no separator; never stored",
    DUPLICATE: "the same audio as another file",
    REMOVED: "taken down",
    CRASHED: "ended its worker, each time it was tried",
    NOT_WRITTEN: "what was made of it could not be written, which stops the job; never stored",
    MODELS_FAIL: "the models cannot be loaded or fail on every song; never stored",
}
"""The meaning of each code, except those that begin with :data:`FAILED`."""


def meaning(code: str) -> str:
    """A reason in words."""
    return f"an unforeseen error ({code.removeprefix(FAILED)})" if code.startswith(FAILED) else REASONS[code]
