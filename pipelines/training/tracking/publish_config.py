"""Settings of `stems publish`. Light to import: no torch, no mlflow."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator


class PublishConfig(BaseModel):
    """Register a whole model in MLflow, where `stems serve --model models:/NAME@ALIAS` finds it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str
    """Directory of a model written by `stems assemble`."""

    name: str = Field(default="stems", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=250)
    """Name of the registered model, created if missing."""

    alias: str = Field(default="champion", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=255)
    """Alias to move to this version; MLflow reserves latest, v1, v2 and so on."""

    tracking: str = "sqlite:///runs/mlflow.db"
    """MLflow tracking address."""

    run: str = ""
    """Id of the run that trained its language model; by default the run that logged that model's digest."""

    @field_validator("alias")
    @classmethod
    def _is_free(cls, alias: str) -> str:
        if re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
            raise ValueError("MLflow reserves this alias; choose another, such as champion")
        return alias
