"""Object stores: opens them, retries, and reports stores that do not answer."""

from __future__ import annotations

from typing import Any

from models.errors import StemsError
from pipelines.catalog.storage.s3 import about_endpoint, literal_s3

STORE_SCHEMES = ("s3", "s3a", "gs", "abfs", "memory")
"""Kinds of address that fsspec opens here. Others of its kinds reach local files or other machines."""

TIMEOUT_S = 20.0
"""For a connection, and for each piece of an answer."""

_S3_TRIES = 5  # of a request that is not answered, or by 5xx; botocore waits longer each time, 15 s in all at most
_S3_ROUNDS = 3  # of those tries, for SlowDown; and of answers that break off
_S3 = ("s3", "s3a")
_UNREACHABLE_ERRNO = (5, 16, 121)  # EIO, EBUSY, EREMOTEIO: s3fs's names for what a store answers with 5xx


class Unreachable(StemsError):  # noqa: N818 - what it is, not what went wrong
    """A store or host does not answer after several tries, or refuses; nothing is known about the file itself.

    Args:
        uri: of the file.
        why: in a few words.
        message, hint: as of a StemsError, where more is known.
    """

    def __init__(self, uri: str, why: object, message: str = "", hint: str = "") -> None:
        super().__init__(
            message or f"'{uri}' cannot be reached ({why}).",
            hint or "Check the connection, the address and the credentials, and run this again.",
            code="unreachable",
        )
        self.uri, self.why = uri, str(why)

    def __reduce__(self) -> tuple[object, ...]:
        return Unreachable, (self.uri, self.why, self.message, self.hint)


def no_bucket(uri: str) -> Unreachable:
    """The error for an address whose bucket is not there."""
    bucket = uri.partition("://")[2].partition("/")[0]
    what = f"There is no bucket '{bucket}' {about_endpoint()}."
    return Unreachable(uri, "no bucket", what, "Create it, or correct the address or the endpoint.")


def check_scheme(uri: str) -> str:
    """The scheme of an address that a store is opened for; StemsError for any other."""
    scheme = uri.partition("://")[0]
    if scheme not in STORE_SCHEMES:
        raise StemsError(
            f"'{uri}' is an unsupported kind of address.",
            "Give a path, an s3:// address, or https:// of an allowed host.",
            code="address",
        )
    return scheme


_SEEN: set[tuple[str | None, str]] = set()
"""Buckets that were there, by endpoint: each is looked for once."""


class Store:
    """The object store of an address. Requests that fail for a moment are sent again, by botocore for S3.

    Methods raise FileNotFoundError or another OSError where the store answers so, :class:`Unreachable` where it does
    not answer, refuses, or has no such bucket.
    Endpoint, region and credentials come from the environment (``AWS_ENDPOINT_URL`` and so on).
    """

    def __init__(self, uri: str) -> None:
        import fsspec

        scheme = check_scheme(uri)
        self.uri = uri
        # Not fsspec's url_to_fs: it takes "::" in a name for a chain of file systems.
        self.is_s3 = scheme in _S3
        self._filesystem = literal_s3(**_s3_options()) if self.is_s3 else fsspec.filesystem(scheme)
        self.path: str = self._filesystem._strip_protocol(uri)
        if self.is_s3:
            self._filesystem.retries = _S3_ROUNDS

    def read(self) -> bytes:
        """All bytes of the object."""
        one = {"max_concurrency": 1} if self.is_s3 else {}  # more would ask for the size once more
        data: bytes = self._call("cat_file", self.path, **one)
        return data

    def head(self, count: int) -> bytes:
        """The first ``count`` bytes of the object, or what there is; it must not be empty."""
        data: bytes = self._call("cat_file", self.path, start=0, end=count)
        return data

    def tail(self, count: int) -> bytes:
        """The last ``count`` bytes of the object, or what there is; it must not be empty."""
        data: bytes = self._call("cat_file", self.path, start=-count)
        return data

    def info(self) -> dict[str, Any]:
        """Size and stamp, as fsspec names them."""
        info: dict[str, Any] = self._call("info", self.path)
        return info

    def write(self, data: bytes) -> None:
        """Put an object: it appears whole or not at all."""
        self._call("pipe_file", self.path, data)

    def exists(self) -> bool:
        """Whether there is an object, or any below this as a folder."""
        try:
            self.info()  # not fsspec's exists, which takes some failures for "no"
        except FileNotFoundError:
            return False
        return True

    def find(self) -> dict[str, dict[str, Any]]:
        """Every object below this folder, by path, with its size and stamp; one request a thousand objects."""
        found: dict[str, dict[str, Any]] = self._call("find", self.path, detail=True)
        return found

    def children(self) -> dict[str, dict[str, Any]]:
        """The objects and folders in this folder, by path."""
        try:
            found = self._call("ls", self.path, detail=True)
        except FileNotFoundError:
            return {}
        return {info["name"]: info for info in found}

    def remove(self) -> None:
        """Delete every object below this folder, and the object of this name."""
        for path in self.find():  # one by one: a bulk deletion takes "[" in names for a pattern
            self._call("rm_file", path)

    def open(self) -> Any:
        """A file to seek and read in."""
        return self._call("open", self.path, "rb")

    def full(self, path: str) -> str:
        """The address of a path that this store listed."""
        address: str = self._filesystem.unstrip_protocol(path)
        return address

    def _call(self, method: str, *args: object, **options: object) -> Any:
        from aiohttp import ClientError
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]
        from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]

        try:
            return getattr(self._filesystem, method)(*args, **options)
        except (BotoCoreError, ResponseParserError, ClientError, TimeoutError, ConnectionError) as error:
            raise Unreachable(self.uri, str(error) or type(error).__name__) from error
        except FileNotFoundError as error:
            if self.is_s3 and not self._has_bucket():
                raise no_bucket(self.uri) from error
            raise
        except OSError as error:
            if error.errno in _UNREACHABLE_ERRNO or isinstance(error, PermissionError):
                raise Unreachable(self.uri, error.strerror or error) from error
            raise

    def _has_bucket(self) -> bool:
        """Whether the bucket is there; a store that does not say so has it."""
        bucket = self.path.partition("/")[0]
        place = (self._filesystem.endpoint_url, bucket)
        if place not in _SEEN:
            try:
                self._filesystem.call_s3("head_bucket", Bucket=bucket)
            except FileNotFoundError:
                return False
            except Exception:  # it may not be looked at, or the store stays away: its objects say so
                return True
            _SEEN.add(place)
        return True


def _s3_options() -> dict[str, object]:
    from fsspec.config import conf

    settings = {
        "retries": {"mode": "standard", "total_max_attempts": _S3_TRIES},
        "connect_timeout": TIMEOUT_S,
        "read_timeout": TIMEOUT_S,
        **conf.get("s3", {}).get("config_kwargs", {}),  # a person's own, which ours would hide
    }
    return {"config_kwargs": settings, "use_listings_cache": False}
