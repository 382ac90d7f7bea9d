"""What goes in and out of the HTTP API, as pydantic models: the OpenAPI document is made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.audio.files import AudioFormat
from models.request_bounds import Prompt, Region, SamplingFields, Seconds, StemNames

Origin = Literal["generated", "kept", "varied", "spliced", "silent"]
Kind = Literal["song", "edit", "variation"]
State = Literal["queued", "running", "done", "failed", "cancelled"]


class CommonFields(SamplingFields):
    """How tokens are drawn, how the audio is written, and where the end is reported: common to all requests."""

    format: AudioFormat | None = None
    """Format of the audio files; without it that of `Accept`, else WAV."""
    webhook: str | None = Field(default=None, max_length=2000)
    """Address to call once, at the end of the job."""


class SongRequest(CommonFields):
    """A song to make from text."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"prompt": "calm electric piano over a slow beat", "seconds": 4, "seed": 7}}
    )

    prompt: Prompt = ""
    """What to play; empty for anything."""
    seconds: Seconds = 10.0
    """Length of the song; GET /v1/model tells the longest."""


class MaterialFields(CommonFields):
    """What edits and variations have in common, beside their audio files."""

    of: str | None = Field(default=None, max_length=64)
    """The id of an earlier job whose stems are to be used, in place of files."""
    region: Region | None = None
    """Where to write anew, in seconds; without it, everywhere."""
    prompt: Prompt = ""
    """What the new sound shall be like; empty for whatever fits the rest."""


class EditRequest(MaterialFields):
    """The fields of an edit."""

    regenerate: StemNames = Field(default=[])
    """Stems to play anew. Stems that are neither sent nor silent are played anew too."""
    texture: StemNames = Field(default=[])
    """Stems that keep their notes and get another sound."""
    silent: StemNames = Field(default=[])
    """Stems that shall stay silent. A stem that is merely not sent is generated, not silent."""
    keep: Literal["exact", "free"] = "exact"
    """``exact``: the other stems stay as they are. ``free``: they may vary around what was sent."""


class VariationRequest(MaterialFields):
    """The fields of a variation."""

    stem: str = Field(max_length=100)
    """The stem that keeps its notes and gets another texture."""


AnyRequest = SongRequest | EditRequest | VariationRequest
REQUESTS: dict[str, type[AnyRequest]] = {"song": SongRequest, "edit": EditRequest, "variation": VariationRequest}
"""The request of each kind of job."""


class StemCard(BaseModel):
    """A stem that the model plays."""

    name: str
    codebooks: int


class Limits(BaseModel):
    """What a request may ask for."""

    min_seconds: float
    max_seconds: float
    max_upload_mb: float
    max_prompt_characters: int
    formats: list[str]


class ModelCard(BaseModel):
    """The model that is being served."""

    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=())

    digest: str
    """Short hash of weights and configuration: it names the model in every result."""
    stems: list[StemCard]
    """Its stems, in order."""
    sample_rate: int
    """Rate of the audio that it makes, in Hz."""
    frame_rate: float
    """Token frames a second."""
    separates: bool
    """Whether a whole song can be sent for an edit, or only its stems."""
    limits: Limits


class StemEntry(BaseModel):
    """One stem of a result."""

    name: str
    file: str
    origin: Origin


class Manifest(BaseModel):
    """What a result is, and all that is needed to make it again."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Version of this manifest's form."""
    job: str
    task: Kind
    prompt: str
    seconds: float
    sample_rate: int
    format: AudioFormat
    gain: float
    """Factor on all files, below 1 only where the mix would have clipped."""
    seed: int
    """The seed that was used, asked for or drawn."""
    model: str
    """Digest of the model."""
    precision: str
    """In which the model computed."""
    guidance: float
    temperature: float
    top_k: int
    top_p: float
    keep: Literal["exact", "free"] | None
    """How kept stems were treated, in an edit."""
    region: tuple[float, float] | None
    """Where it was written, if not everywhere."""
    stems: list[StemEntry]
    mix: str
    """File of the sum of the stems."""


class Links(BaseModel):
    """Where a job and its files lie, on the host that answers; the files are there once it is done."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    this: str = Field(alias="self")
    events: str
    zip: str | None = None
    mix: str | None = None
    manifest: str | None = None
    stems: dict[str, str] | None = None


class Problem(BaseModel):
    """One failure: what it is, which field caused it, and how to fix it."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "type": "urn:stems:problem:invalid",
                "title": "The request is not valid",
                "status": 422,
                "detail": "'tuba' is not a stem of this model.",
                "field": "regenerate",
                "hint": "Choose from: bass, drums, other.",
                "request_id": "0f8b7d0c",
            }
        },
    )

    type: str
    """A stable name of the kind of failure."""
    title: str
    """The kind of failure, for people."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong with this request."""
    field: str
    """The request field at fault; empty where there is none."""
    hint: str
    """What to do about it."""
    mend: str = ""
    """The same as `hint`, under its old name; it goes with version 0.3."""
    request_id: str
    """The request, as in the X-Request-Id header."""

    @model_validator(mode="before")
    @classmethod
    def _both_names(cls, values: Any) -> Any:
        """Problems stored by version 0.1 have the old name alone."""
        if isinstance(values, dict):
            hint = values.get("hint") or values.get("mend") or ""
            return {**values, "hint": hint, "mend": hint}
        return values


class Job(BaseModel):
    """A request for music, from its acceptance to the end of its keeping."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    kind: Kind
    state: State
    frames: int
    """Frames that are written."""
    of: int
    """Frames that will be written in all; 0 until that is known."""
    seed: int
    model: str
    """Digest of the model that played, or is to play."""
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None
    """When the job and its files will be forgotten; known once it has ended."""
    problem: Problem | None
    """Why it failed."""
    manifest: Manifest | None
    """What came of it, once it is done."""
    links: Links


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: Literal["live", "ready"]
