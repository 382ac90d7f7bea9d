"""Respond with a result file: whole (200), a range (206), or not modified (304)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Response

from serving.http.files.ranges import has_it, wanted_part
from serving.http.files.recent_files import ServedFile

# A result belongs to a key, never changes, and may be deleted: a client keeps it, but asks each time.
_CACHING = "private, no-cache"


def deliver(asked: Mapping[str, str], file: ServedFile, media_type: str, headers: Mapping[str, str]) -> Response:
    """The response to a request with the headers ``asked``; RangeError for a range outside the file."""
    size = len(file.data)
    sent = {**headers, "ETag": file.etag, "Accept-Ranges": "bytes", "Cache-Control": _CACHING}
    if has_it(asked, file.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=sent)
    part = wanted_part(asked, file.etag, size)
    if part is None:
        return Response(file.data, headers=sent, media_type=media_type)
    sent["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    data = file.data[part.start : part.stop]
    return Response(data, HTTPStatus.PARTIAL_CONTENT, sent, media_type)
