"""Manifests as text: decoded, unpacked, and bounded in size."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Collection

from models.errors import StemsError
from pipelines.catalog.storage.files import read_bytes

MAX_MANIFEST_BYTES = 2**30
"""Larger manifests are refused, before and after unpacking."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 256
"""Leading bytes to test for UTF-16 without a mark: many of them are zero then."""


def read_text(uri: str, allow_hosts: Collection[str] = ()) -> str:
    """A text file in UTF-8, or in UTF-16 with its mark; unpacked where its name ends in ``.gz``.

    Raises:
        StemsError: it cannot be read, is not text, or is too large.
    """
    data = read_manifest_bytes(uri, allow_hosts)
    return as_text(_unpack(data, uri) if uri.lower().endswith(".gz") else data, uri)


def as_text(data: bytes, uri: str) -> str:
    """The text that a file's bytes are, in UTF-8, or in UTF-16 with its mark. StemsError where they are none."""
    try:
        if data[:_LOOKED_AT].count(0) > len(data[:_LOOKED_AT]) // 4 and not data.startswith(_UTF16):
            raise UnicodeError
        return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeError as error:
        raise StemsError(f"'{uri}' is not UTF-8 text.", "Save it as UTF-8.", field="manifest") from error


def read_manifest_bytes(uri: str, allow_hosts: Collection[str] = ()) -> bytes:
    """A small file's bytes. StemsError where it cannot be read."""
    try:
        return read_bytes(uri, allow_hosts=allow_hosts, max_bytes=MAX_MANIFEST_BYTES)
    except OSError as error:
        raise cannot_be_read(uri, error) from error


def cannot_be_read(uri: str, error: OSError) -> StemsError:
    """The error for a manifest that cannot be opened."""
    return StemsError(
        f"'{uri}' cannot be read ({error.strerror or 'there is none'}).",
        "Check the path.",
        code="missing",
        field="manifest",
    )


def _unpack(data: bytes, uri: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            text = packed.read(MAX_MANIFEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StemsError(f"'{uri}' is not a whole gzip file.", "Copy it again.", field="manifest") from error
    if len(text) > MAX_MANIFEST_BYTES:
        raise StemsError(
            f"'{uri}' unpacks to more than {MAX_MANIFEST_BYTES / 1e9:.1f} GB.",
            "Split it.",
            code="too_large",
            field="manifest",
        )
    return text
