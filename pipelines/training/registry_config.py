"""Settings of `stems publish`. Light to import: no torch, no mlflow."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PublishConfig(BaseModel):
    """Register a whole model in MLflow, where `stems serve --model models:/NAME@ALIAS` finds it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str
    """Directory of the model, as `stems assemble` writes it."""

    name: str = Field(default="stems", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the registered model, made where it is missing."""

    alias: str = Field(default="champion", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Alias that is moved to this model's version."""

    tracking: str = "sqlite:///runs/mlflow.db"
    """MLflow tracking address."""

    run: str = ""
    """Id of the training run that made its language model; by default the run that noted that model's digest."""
