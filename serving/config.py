"""What a person may set about the service. Imports no torch and no ray."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import StemsError


class ServeConfig(BaseModel):
    """Settings of ``stems serve``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str
    """Directory of the model to serve (it holds assembly.json), or a published one: models:/NAME@ALIAS."""
    tracking: str = "sqlite:///runs/mlflow.db"
    """MLflow address where a published model is looked up."""
    cache: str = "~/.cache/stems"
    """Directory where published models are kept once they were fetched."""
    host: str = "127.0.0.1"
    """Address to listen on. There are no API keys: keep it on loopback, or behind something that has them."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    replicas: int = Field(default=1, ge=1)
    """How many copies of the model run; each makes one song at a time."""
    cpus_per_replica: float = Field(default=1.0, gt=0)
    """CPU cores that each copy reserves, and the threads it computes with."""
    gpus_per_replica: float = Field(default=0.0, ge=0)
    """GPUs that each copy reserves; with 0 it runs on the CPU."""
    max_queued: int = Field(default=8, ge=1)
    """Requests that may wait for a free copy; beyond them the answer is 503 with Retry-After."""
    max_upload_mb: float = Field(default=64.0, gt=0)
    """Largest request body, in MB (1,000,000 bytes)."""
    max_seconds: float = Field(default=60.0, gt=0)
    """Longest song that may be asked for or sent; the model's own limit holds too."""
    results_mb: float = Field(default=256.0, ge=0)
    """Memory for recent results that are fetched by link; the oldest go first."""


def parse_config(values: dict[str, object]) -> ServeConfig:
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
