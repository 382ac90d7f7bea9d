"""What a person may set about the service. Imports no torch and no ray."""

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
    """Who has the key: small letters, digits and dashes."""


class ServeConfig(StateConfig):
    """Settings of ``stems serve``."""

    model: str
    """Directory of the model to serve (it holds assembly.json), s3://BUCKET/DIRECTORY, or models:/NAME@ALIAS."""
    tracking: str = "sqlite:///runs/mlflow.db"
    """MLflow address where a published model is looked up."""
    cache: str = "~/.cache/stems"
    """Directory where models from elsewhere are kept once they were fetched."""
    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback the service wants API keys (`stems keys add NAME`)."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    name: str = Field(default="stems", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")
    """Name of the application on Ray Serve, which other applications may share."""
    route_prefix: str = Field(default="/", pattern=r"^/$|^(/[A-Za-z0-9_.~-]+)+$")
    """Path under which Ray Serve answers for this application, such as /music."""
    replace: bool = False
    """Whether to take the place of an application on Ray Serve that has this name or this path."""
    hosts: tuple[str, ...] = ()
    """Names (NAME or NAME:PORT) beside those of loopback by which the service may be called without a key."""
    root_path: str = ""
    """Path under which a proxy shows the service, such as /music."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of proxies (ADDRESS or ADDRESS/BITS) whose X-Forwarded-Prefix, -Host and -Proto count."""
    replicas: int = Field(default=1, ge=1)
    """How many copies of the model run."""
    max_replicas: int | None = Field(default=None, ge=1)
    """How many may run under load; without it, no more than `replicas`."""
    slots: int = Field(default=8, ge=1, le=1024)
    """Songs that each copy writes at once."""
    precision: Literal["float32", "bfloat16", "int8"] | None = None
    """In which the language model decodes; without it, the fastest that is sound."""
    cpus_per_replica: float = Field(default=1.0, gt=0)
    """CPU cores that each copy reserves, and the threads it computes with."""
    gpus_per_replica: float | None = Field(default=None, ge=0)
    """GPUs that each copy reserves; 0 computes on the CPU. By default one, or a share of one where there are fewer
    GPUs than copies, and the CPU where there is no GPU."""
    separators: int = Field(default=1, ge=1)
    """How many separators may run for whole songs that are sent; none runs while none is needed."""
    cpus_per_separator: float = Field(default=1.0, ge=0)
    """CPU cores that each separator reserves."""
    max_queued: int = Field(default=64, ge=1)
    """Jobs that may wait for a slot; beyond them the answer is 503 with Retry-After."""
    max_waiting: int = Field(default=4, ge=0)
    """How many of those a client may wait for on the line (`Prefer: wait`); they go first."""
    requests_per_minute: int = Field(default=600, ge=1)
    """Requests for music that each key, or without keys each address, may make."""
    max_upload_mb: float = Field(default=64.0, gt=0)
    """Largest request body, in MB (1,000,000 bytes)."""
    body_seconds: float = Field(default=60.0, gt=0)
    """Longest that a body may take to arrive."""
    max_seconds: float = Field(default=60.0, gt=0)
    """Longest song that may be asked for or sent; the model's own limit holds too."""
    results: str = "runs/serve/results"
    """Directory or s3://BUCKET/PREFIX of uploads and results."""
    keep_hours: float = Field(default=24.0, gt=0)
    """How long a job and its result are kept once it has ended."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts (NAME or NAME:PORT) that webhooks may tell."""
    webhook_secret: str = Field(default="", repr=False)
    """What webhooks are signed with: `whsec_` and base64. Needed for webhooks."""
    drain_seconds: float = Field(default=300.0, gt=0)
    """Longest that a copy which is to go may take to finish its songs."""
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
