"""S3 as the environment describes it: its endpoint, and a file system that takes keys as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from models.errors import StemsError

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Environment variables that name the endpoint, the one that counts first."""

_VERSION = "?versionId="
_LITERAL = "?versionId\0="


def s3_endpoint(environment: Mapping[str, str] | None = None) -> str:
    """The endpoint that the environment names; empty for Amazon's own.

    Raises:
        StemsError: it is not an address of a host.
    """
    environment = os.environ if environment is None else environment
    name = next((name for name in ENDPOINTS if environment.get(name)), "")
    return _checked(name, environment[name]) if name else ""


def _checked(name: str, endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        is_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_host = False
    if not is_host:
        raise StemsError(
            f"The endpoint of S3, {name}='{endpoint}', is not an address.",
            f"Write http:// or https:// and the host, as in {name}=http://minio:9000.",
            code="address",
        )
    return endpoint


def about_endpoint() -> str:
    """Where S3 is looked for, and what is odd about that, for a message."""
    endpoint = s3_endpoint()
    if not endpoint:
        return "at Amazon's S3; another store is named by AWS_ENDPOINT_URL"
    parts = urlsplit(endpoint)
    odd = f", whose path '{parts.path}' few stores have" if parts.path.strip("/") else ""
    return f"at the endpoint '{endpoint}'{odd}"


def literal_s3(**options: Any) -> Any:
    """s3fs's file system for the endpoint that fsspec is configured for, or that the environment names."""
    from fsspec.config import conf

    own = conf.get("s3", {})
    configured = own.get("endpoint_url") or own.get("client_kwargs", {}).get("endpoint_url")
    endpoint = _checked("FSSPEC_S3", configured) if configured else s3_endpoint()
    return _filesystem_class()(**({"endpoint_url": endpoint} if endpoint and not configured else {}), **options)


@cache
def _filesystem_class() -> Any:
    """s3fs's class, whose keys may hold ``?versionId=`` where a person has not asked for versions."""
    from s3fs import S3FileSystem

    class LiteralS3(S3FileSystem):
        def split_path(self, path: str) -> tuple[str, str, str | None]:
            if self.version_aware:
                found: tuple[str, str, str | None] = super().split_path(path)
                return found
            bucket, key, version = super().split_path(path.replace(_VERSION, _LITERAL))
            return bucket, key.replace(_LITERAL, _VERSION), version

    return LiteralS3
