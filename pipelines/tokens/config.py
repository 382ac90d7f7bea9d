"""Settings of the jobs that turn a catalog into tokens."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pipelines.catalog.config import Format


class TableJob(BaseModel):
    """Settings shared by all jobs that write tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str
    """Folder of the token table, created if missing; local or s3://."""

    codecs: str
    """Directory with one codec directory per stem, named for the stem."""

    layout: str = ""
    """Stems in stream order with their codebooks, as in bass:1,drums:1,other:4; by default all codecs,
    alphabetically."""

    actors: int = Field(0, ge=0)
    """Actors that hold the models; 0 starts as many as fit on the nodes, and more when nodes join."""

    gpus_per_actor: float = Field(0.0, ge=0)
    """GPUs per actor; 0 computes on the CPU."""

    resources_per_actor: dict[str, float] = {}
    """Custom Ray resources per actor, as in models=1, if only some nodes should hold models."""

    threads: int = Field(2, ge=1)
    """CPU threads per actor. Two runs with the same number write rows that are equal to the bit."""

    songs_per_batch: int = Field(4, ge=1)
    """Songs that the separator batches together."""

    commit_songs: int = Field(64, ge=1)
    """Songs per commit to the table."""

    commit_seconds: float = Field(60.0, ge=0)
    """Longest time between two commits, in seconds."""

    valid_share: float = Field(0.1, ge=0, le=1)
    """Share of songs kept for validation, chosen by a hash of the song; near-duplicates stay together."""

    max_error_rate: float = Field(0.5, ge=0, le=1)
    """Share of files in quarantine above which the job ends with exit code 3. The job checks it when it is done, and
    from the 20th file on also while it runs. Duplicates do not count. If not one file is a song, the exit code is
    always 3."""

    report: str = ""
    """Folder for the run's report, and for its log if the folder is local; by default reports/ in the table."""


class PrepareConfig(TableJob):
    """Turn a catalog into a token table."""

    catalog: str
    """Folder of audio, a manifest, or a catalog written by `stems catalog`; local or s3://."""

    separator: str
    """Directory of a separator, or the name of a released one such as htdemucs."""

    manifest: str = ""
    """Captions, tags and titles: JSONL, CSV or Parquet. A metadata.* in the catalog needs no option."""

    format: Format = "auto"
    """Format of the catalog; auto detects it."""

    allow_hosts: list[str] = []
    """Hosts whose http(s) addresses in the catalog may be read."""

    vocal_threshold: float = Field(0.0, ge=0, le=1)
    """Vocal score above which a song is dropped; 0 takes the separator's own threshold. Lowering it later is cheap;
    raising it separates the songs that come back."""

    vocal_tags: list[str] = ["vocals", "vocal", "voice", "singing", "sung", "singer", "choir", "rap", "acapella"]
    """Tags that mean singing: songs with one are dropped without separation. Case, hyphens and underscores do not
    matter."""

    min_seconds: float = Field(5.0, ge=0.4)
    """Shorter songs are quarantined."""

    max_seconds: float = Field(1200.0, gt=0)
    """Longer songs are quarantined by the length in their header, before they fill the memory."""

    max_megabytes: float = Field(1024.0, gt=0)
    """Larger files are quarantined without being read."""

    keep_stems: str = ""
    """Folder for the separated stems (one folder per song, mono FLAC at the codecs' rate), local or s3://; empty
    keeps none."""


class RetryConfig(PrepareConfig):
    """Prepare a catalog, and try quarantined files again."""

    reasons: list[str] = []
    """Only files quarantined for these reasons, such as unreadable or crashed; by default all."""


class PlanConfig(PrepareConfig):
    """Show what `stems prepare` would do with these settings, and estimate what it would cost."""

    sample: int = Field(3, ge=1)
    """Songs to process on this machine to measure the speed; their tokens are not kept."""

    workers: list[int] = [1, 8, 64]
    """Numbers of workers for which to estimate the time."""

    price_per_hour: float = Field(0.0, ge=0)
    """Price of a worker per hour, in any currency; 0 leaves prices out."""


class RetokenizeConfig(TableJob):
    """Encode kept stems again, with other codecs; nothing is separated."""

    separator: str = ""
    """Only stems made by this separator: its directory, name or id; by default all."""

    stems: str = ""
    """Folder of the kept stems, if they were moved since; it replaces the old folder in the table, too; local or
    s3://."""
