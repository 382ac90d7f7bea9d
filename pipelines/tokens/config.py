"""Settings of the jobs that turn a catalog into tokens."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pipelines.catalog.config import Format


class TableJob(BaseModel):
    """Settings that every job that writes tokens has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str
    """Folder of the token table, made where it is missing; local or s3://."""

    codecs: str
    """Directory that holds one codec directory per stem, named for the stem."""

    layout: str = ""
    """Stems in stream order, as in bass:1,drums:1,other:4; by default every codec, in alphabetical order."""

    actors: int = Field(0, ge=0)
    """Actors that hold the models; 0 starts as many as the nodes have room for, and more when nodes join."""

    gpus_per_actor: float = Field(0.0, ge=0)
    """GPUs per actor; 0 computes on the CPU."""

    resources_per_actor: dict[str, float] = {}
    """Custom Ray resources per actor, by name, if only some nodes are to hold models."""

    threads: int = Field(2, ge=1)
    """CPU threads per actor. Rows of two runs are equal to the bit at equal threads."""

    songs_per_batch: int = Field(4, ge=1)
    """Songs that the separator processes together."""

    commit_songs: int = Field(64, ge=1)
    """Songs between commits to the table."""

    commit_seconds: float = Field(60.0, ge=0)
    """Seconds after which fewer songs are committed as well."""

    valid_share: float = Field(0.1, ge=0, le=1)
    """Share of songs kept for validation, chosen by a hash of the song; near-duplicates stay together."""

    max_error_rate: float = Field(0.5, ge=0, le=1)
    """Share of bad files above which the job ends with exit code 3. At its end the job counts all files of the
    catalog, however few; before that, it stops once it has seen 20 files. Duplicates do not count. If not one file is
    a song, the exit code is always 3."""

    report: str = ""
    """Folder for the run's report, and for its log unless the folder is in a store; by default reports/ in the
    table."""


class PrepareConfig(TableJob):
    """From a catalog to the token table."""

    catalog: str
    """Folder of audio, or a manifest, or a catalog that `stems catalog` wrote; local or s3://."""

    separator: str
    """Directory of a separator, or the name of a released one such as htdemucs."""

    manifest: str = ""
    """Captions, tags and titles: JSONL, CSV or Parquet; metadata.* in the catalog is found by itself."""

    format: Format = "auto"
    """What the catalog is; by default found out by looking at it."""

    allow_hosts: list[str] = []
    """Hosts from which http(s) addresses in the catalog may be read."""

    vocal_threshold: float = Field(0.0, ge=0, le=1)
    """Vocal score above which a song is dropped; 0 takes the separator's threshold. A lower one needs no new scores;
    a higher one separates the songs that it takes back."""

    vocal_tags: list[str] = ["vocals", "vocal", "voice", "singing", "sung", "singer", "choir", "rap", "acapella"]
    """Tags that mean singing: such songs are dropped unread. Case, hyphens and underscores do not matter."""

    min_seconds: float = Field(5.0, ge=0.4)
    """Shorter songs are quarantined."""

    max_seconds: float = Field(1200.0, gt=0)
    """Longer songs are quarantined, by the length in their header, before they fill the memory."""

    max_megabytes: float = Field(1024.0, gt=0)
    """Larger files are quarantined without being read."""

    keep_stems: str = ""
    """Folder for the separated stems (one folder per song, FLAC, the codecs' rate, mono), local or s3://; empty keeps
    none."""


class RetryConfig(PrepareConfig):
    """Prepare a catalog, and inspect its quarantined files again."""

    reasons: list[str] = []
    """Only files quarantined for these reasons, such as unreadable or crashed; all by default."""


class PlanConfig(PrepareConfig):
    """What `stems prepare` with these settings would do, and what it would cost."""

    sample: int = Field(3, ge=1)
    """Songs to process on this machine, to measure the speed; their results are not kept."""

    workers: list[int] = [1, 8, 64]
    """Numbers of workers to estimate the time for."""

    price_per_hour: float = Field(0.0, ge=0)
    """Price of a worker per hour, in any currency; 0 leaves prices out."""


class RetokenizeConfig(TableJob):
    """New tokens from kept stems: nothing is separated again."""

    separator: str = ""
    """Use only stems by this separator, given by its directory, name or id; by default all."""

    stems: str = ""
    """Folder that holds the kept stems now, if they were moved; the table is updated to name it. Local or s3://."""
