"""What goes in and out of the HTTP API, as pydantic models: the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from models.audio import AudioFormat
from models.lm.sampling import Sampling

MIN_SECONDS = 0.5
MAX_PROMPT = 2000
# The largest integer that every JSON reader keeps exact.
MAX_SEED = 2**53 - 1

Origin = Literal["generated", "kept", "varied", "silent"]


def _sound_text(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in text):
        raise ValueError("it holds characters that are not text")
    return text


def _split_names(value: object) -> object:
    """``["bass,drums", "other"]`` -> ``["bass", "drums", "other"]``, each once."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(part, str) for part in values):
        return value
    names = [name.strip() for part in values for name in part.split(",")]
    return list(dict.fromkeys(name for name in names if name))


Prompt = Annotated[str, Field(max_length=MAX_PROMPT), AfterValidator(_sound_text)]
StemNames = Annotated[list[str], BeforeValidator(_split_names)]


class SamplingFields(BaseModel):
    """How tokens are drawn, and how the audio is written: common to all requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    """Same request, model and seed: same music. Without one a seed is drawn, and told."""
    guidance: float = Field(default=3.0, ge=0, le=20)
    """How strongly the prompt pulls; 1 is no guidance."""
    temperature: float = Field(default=1.0, ge=0, le=10)
    """Above 1 bolder, below 1 tamer; 0 always takes the likeliest token."""
    top_k: int = Field(default=250, ge=0, le=1_000_000)
    """Draw among this many likeliest tokens; 0 for all."""
    top_p: float = Field(default=0.0, ge=0, le=1)
    """Draw among the likeliest tokens that hold this share of probability; 0 for all."""
    format: AudioFormat = "wav"
    """Format of the audio files in the answer."""

    def sampling(self) -> Sampling:
        """The same, as the model takes it."""
        return Sampling(
            guidance=self.guidance,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.seed,
        )


class SongRequest(SamplingFields):
    """A song to make from text."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"prompt": "calm electric piano over a slow beat", "seconds": 4, "seed": 7}}
    )

    prompt: Prompt = ""
    """What to play; empty for anything."""
    seconds: float = Field(default=10.0, ge=MIN_SECONDS)
    """Length of the song; GET /v1/model tells the longest."""


class EditRequest(SamplingFields):
    """The fields of an edit, beside its audio files."""

    regenerate: StemNames = []
    """Stems to play anew. Stems that are neither sent nor silent are played anew too."""
    silent: StemNames = []
    """Stems that shall stay silent. A stem that is merely not sent is generated, not silent."""
    prompt: Prompt = ""
    """What the new stems shall sound like; empty for whatever fits the rest."""
    keep: Literal["exact", "free"] = "exact"
    """``exact``: the other stems stay as they are. ``free``: they may vary around what was sent."""


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
    request_id: str
    task: Literal["song", "edit"]
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
    guidance: float
    temperature: float
    top_k: int
    top_p: float
    keep: Literal["exact", "free"] | None
    """How kept stems were treated, in an edit."""
    stems: list[StemEntry]
    mix: str
    """File of the sum of the stems."""


class Links(BaseModel):
    """Where the files of a result lie, relative to the service; they are kept for a short while."""

    zip: str
    mix: str
    manifest: str
    stems: dict[str, str]


class SongResult(BaseModel):
    """A finished song, as links: the answer to ``Accept: application/json``."""

    id: str
    links: Links
    manifest: Manifest


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: Literal["live", "ready"]
