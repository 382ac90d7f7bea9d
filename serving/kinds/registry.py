"""All kinds of requests, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from serving.kinds.continuation import ContinuationKind
from serving.kinds.edit import EditKind
from serving.kinds.kind import Kind
from serving.kinds.song import SongKind
from serving.kinds.variation import VariationKind

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind for kind in (SongKind(), EditKind(), VariationKind(), ContinuationKind())
}


def _known(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"is not one of {', '.join(KINDS)}")
    return name


KindName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(KINDS)})]
"""Name of a kind, in jobs and manifests."""
