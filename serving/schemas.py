"""What the HTTP API answers, as pydantic models. What it takes is in serving/kinds."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.audio.files import AudioFormat
from serving.errors import Problem
from serving.kinds.kind import Origin
from serving.kinds.registry import KindName

State = Literal["queued", "running", "done", "failed", "cancelled"]


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
    task: KindName
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
    keep: Literal["exact", "free"] | None = None
    """How kept stems were treated, in an edit."""
    continued_at: float | None = None
    """Where the new part of a continuation begins, in seconds."""
    region: tuple[float, float] | None = None
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


class Timings(BaseModel):
    """Seconds that a job has spent in each stage; null for a stage that did not happen, or was not measured.

    They add up to no more than the time from `created` to `ended`. The rest is time behind other songs of the same
    replica, which compute one after the other where they do not share a step.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    waiting: float | None = None
    """In the queue, for a slot of a replica, and for its turn to be encoded."""
    separating: float | None = None
    """A whole song into stems; a separator that has to start first counts."""
    encoding: float | None = None
    """The prompt, and given stems into tokens."""
    prefill: float | None = None
    """Steps of the language model while it read known tokens. A step that songs share counts in full for each."""
    decoding: float | None = None
    """Steps of the language model while it wrote new tokens. A step that songs share counts in full for each."""
    codec: float | None = None
    """Tokens into sound."""
    storing: float | None = None
    """Sound into files, and their way to the disk or bucket."""
    lost: float | None = None
    """Attempts that came to nothing, because a replica or a service was lost. The other stages leave them out."""


class Job(BaseModel):
    """A request for music, from its acceptance until it is forgotten."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    kind: KindName
    state: State
    frames: int
    """Frames that are written."""
    of: int
    """Frames that will be written in all; 0 until that is known."""
    attempts: int | None = None
    """How often the job was begun: more than once if a replica or a service was lost."""
    timings: Timings | None = None
    """Where its time has gone; null before it was started."""
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
