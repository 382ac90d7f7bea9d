"""Check a service's settings before anything starts."""

from __future__ import annotations

from models.errors import StemsError
from serving.config import ServeConfig
from serving.http.api_keys import KeyRing
from serving.jobs.blob_store import JobFiles
from serving.jobs.database import open_database
from serving.jobs.webhooks import signing_key
from serving.ray_serve import is_loopback


def check_open(config: ServeConfig, host: str) -> None:
    """Refuse a service without keys that other machines can reach, and webhooks without a signing secret."""
    if not is_loopback(host) and not KeyRing(open_database(config.state)).look("").wanted:
        raise StemsError(
            f"On {host} anyone could use the service: there are no API keys.",
            "Make one with `stems keys add NAME`, or listen on 127.0.0.1.",
            code="open",
            field="host",
        )
    if config.webhook_hosts:
        signing_key(config.webhook_secret)


def check_places(config: ServeConfig) -> None:
    """Raise StemsError if jobs, uploads or results cannot be written."""
    open_database(config.state).dispose()
    for folder in ("uploads", "results"):
        JobFiles(f"{config.results.rstrip('/')}/{folder}").check_writable()
