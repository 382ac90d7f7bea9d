"""Settings of the service and of its keys. Imports no torch and no ray."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.errors import StemsError
from serving.addresses import clean_host, clean_prefix, networks


class StateConfig(BaseModel):
    """Where jobs and keys are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    state: str = "sqlite:///runs/serve/state.db"
    """SQLAlchemy address of the database of jobs and keys: SQLite, or postgresql+psycopg://USER@HOST/NAME."""


class KeyConfig(StateConfig):
    """Settings of ``stems keys add`` and ``stems keys remove``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the key's holder: small letters, digits and dashes."""


class ServeConfig(StateConfig):
    """Settings of ``stems serve``."""

    model: str
    """Directory of the model to serve (it holds assembly.json), s3://BUCKET/DIRECTORY, or models:/NAME@ALIAS."""
    tracking: str = "sqlite:///runs/mlflow.db"
    """MLflow tracking address of published models."""
    cache: str = "~/.cache/stems"
    """Directory for models that were downloaded."""
    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback the service requires API keys (`stems keys add NAME`)."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    name: str = Field(default="stems", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    """Name of the application on a Ray Serve that others may use, too."""
    route_prefix: str = Field(default="/", pattern=r"^/$|^(/[A-Za-z0-9_.~-]+)+$")
    """Path of the application on Ray Serve, such as /music."""
    replace: bool = False
    """Replace an application on Ray Serve that has this name or path."""
    hosts: tuple[str, ...] = ()
    """Host names (NAME or NAME:PORT), beside those of loopback, under which the service answers without a key."""
    root_path: str = ""
    """Path under which a proxy publishes the service, such as /music."""
    trusted_proxies: tuple[str, ...] = ()
    """Proxies (ADDRESS or ADDRESS/BITS) whose X-Forwarded-Prefix, -Host and -Proto are trusted."""
    replicas: int = Field(default=1, ge=1)
    """Copies of the model."""
    max_replicas: int | None = Field(default=None, ge=1)
    """Most copies under load; by default no more than --replicas."""
    slots: int = Field(default=8, ge=1, le=1024)
    """Songs that each copy generates at once."""
    precision: Literal["float32", "bfloat16", "int8"] | None = None
    """Number format in which the language model decodes; by default the fastest that is sound on the device."""
    cpus_per_replica: float = Field(default=1.0, gt=0)
    """CPU cores that each copy reserves, and its threads."""
    gpus_per_replica: float | None = Field(default=None, ge=0)
    """GPUs that each copy reserves; 0 computes on the CPU. By default one, or a share of one where there are fewer
    GPUs than copies, and the CPU where there is no GPU."""
    separators: int = Field(default=1, ge=1)
    """Most separators that may run, for uploads of whole songs; none runs while none is needed."""
    cpus_per_separator: float = Field(default=1.0, ge=0)
    """CPU cores that each separator reserves."""
    max_queued: int = Field(default=64, ge=1)
    """Jobs that may wait for a slot; further requests get 503 with Retry-After."""
    max_waiting: int = Field(default=4, ge=0)
    """Of those, jobs whose client waits on the connection (Prefer: wait); they go first."""
    requests_per_minute: int = Field(default=600, ge=1)
    """Requests for music per minute and key; per address if there are no keys."""
    max_upload_mb: float = Field(default=64.0, gt=0)
    """Largest request body, in MB (1,000,000 bytes)."""
    body_seconds: float = Field(default=60.0, gt=0)
    """Longest time for a request body to arrive, in seconds."""
    max_seconds: float = Field(default=60.0, gt=0)
    """Longest song that may be requested or sent, in seconds; the model's own limit holds, too."""
    results: str = "runs/serve/results"
    """Directory or s3://BUCKET/PREFIX of uploads and results."""
    keep_hours: float = Field(default=24.0, gt=0)
    """Hours to keep a job and its result once it has ended."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts (NAME or NAME:PORT) that webhooks may call."""
    webhook_secret: str = Field(default="", repr=False)
    """Secret that signs webhooks: whsec_ and base64. Webhooks require it."""
    drain_seconds: float = Field(default=300.0, gt=0)
    """Longest time for a stopping copy to finish its songs, in seconds."""
    traces: str = ""
    """Address of an OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318/v1/traces."""

    @field_validator("hosts")
    @classmethod
    def _clean_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(clean_host, hosts))

    @field_validator("root_path")
    @classmethod
    def _clean_root_path(cls, path: str) -> str:
        return clean_prefix(path)

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        networks(addresses)
        return addresses

    @property
    def most_replicas(self) -> int:
        """How many copies of the model can run."""
        return max(self.replicas, self.max_replicas or 0)


def parse_config(values: dict[str, Any]) -> ServeConfig:
    """Check plain values; StemsError names the first field that is unknown, missing or out of bounds."""
    try:
        return ServeConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = ", ".join(ServeConfig.model_fields)
            raise StemsError(f"There is no setting '{field}'.", f"The settings are: {known}.", field=field) from error
        raise StemsError(f"Setting '{field}': {first['msg']}.", "Change its value.", field=field) from error
