"""Settings of the job that turns a catalog into tokens."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PrepareConfig(BaseModel):
    """From a catalog to the token table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalog: str
    """Folder of audio (WAV, FLAC, MP3, OGG, at any depth), or a manifest; local or s3://."""

    table: str
    """Folder of the token table, made where it is missing; local or s3://."""

    separator: str
    """Directory of a separator, or the name of a released one such as htdemucs."""

    codecs: str
    """Directory that holds one codec directory a stem, named for it."""

    manifest: str = ""
    """Captions, tags and titles: JSONL, CSV or Parquet; metadata.* in the catalog is found by itself."""

    layout: str = ""
    """Stems in stream order, as in bass:1,drums:1,other:4; by default every codec, in alphabetical order."""

    vocal_threshold: float = Field(0.0, ge=0, le=1)
    """Vocal score above which a song is dropped; 0 takes the separator's own."""

    vocal_tags: list[str] = ["vocals", "vocal", "voice", "singing", "sung", "singer", "choir", "rap", "acapella"]
    """Tags that mean singing: such songs are dropped unheard. Case, hyphens and underscores do not matter."""

    min_seconds: float = Field(5.0, ge=0.4)
    """Shorter songs are quarantined."""

    max_seconds: float = Field(1200.0, gt=0)
    """Longer songs are quarantined, by what their header says, before they fill the memory."""

    max_megabytes: float = Field(1024.0, gt=0)
    """Larger files are quarantined unread."""

    keep_stems: str = ""
    """Folder for the separated stems (one folder a song, FLAC, the codecs' rate, mono); empty keeps none."""

    actors: int = Field(0, ge=0)
    """Workers that hold the models; 0 starts one for each GPU or, without any, one for every four CPUs."""

    gpus_per_actor: float = Field(0.0, ge=0)
    """GPUs that each of them takes; 0 computes on the CPU."""

    songs_per_batch: int = Field(4, ge=1)
    """Songs that share the separator's batches."""

    commit_songs: int = Field(64, ge=1)
    """Songs between commits to the table."""

    commit_seconds: float = Field(60.0, ge=0)
    """Seconds after which songs are committed even if they are fewer."""

    valid_share: float = Field(0.1, ge=0, le=1)
    """Share of songs kept for validation, chosen by a hash of the song."""
