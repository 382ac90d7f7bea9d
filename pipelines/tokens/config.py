"""Settings of the jobs that turn a catalog into tokens."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pipelines.catalog.config import Format


class TableJob(BaseModel):
    """What every job that writes tokens is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str
    """Folder of the token table, made where it is missing; local or s3://."""

    codecs: str
    """Directory that holds one codec directory a stem, named for it."""

    layout: str = ""
    """Stems in stream order, as in bass:1,drums:1,other:4; by default every codec, in alphabetical order."""

    actors: int = Field(0, ge=0)
    """Actors that hold the models; 0 starts as many as the nodes have room for, and more when nodes join."""

    gpus_per_actor: float = Field(0.0, ge=0)
    """GPUs that each of them takes; 0 computes on the CPU."""

    resources_per_actor: dict[str, float] = {}
    """Custom resources of Ray that each of them takes, by name, where only some nodes shall hold models."""

    threads: int = Field(2, ge=1)
    """CPU threads of each of them. Rows of two runs are equal to the bit at equal threads."""

    songs_per_batch: int = Field(4, ge=1)
    """Songs that share the separator's batches."""

    commit_songs: int = Field(64, ge=1)
    """Songs between commits to the table."""

    commit_seconds: float = Field(60.0, ge=0)
    """Seconds after which songs are committed even if they are fewer."""

    valid_share: float = Field(0.1, ge=0, le=1)
    """Share of songs kept for validation, chosen by a hash of the song; near-duplicates stay together."""

    max_error_rate: float = Field(0.5, ge=0, le=1)
    """Share of files in quarantine above which the job ends with exit code 3. It counts all files of the catalog when
    the job is done, however few they are, and stops the job before that once 20 files were looked at. Duplicates do
    not count. Where not one file is a song, the exit code is 3 in any case."""

    report: str = ""
    """Folder for the run's report, and for its log where that is no address of a store; by default reports/ in the
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
    """Vocal score above which a song is dropped; 0 takes the separator's own. A lower one needs no new scores; with a
    higher one, songs that come back are separated."""

    vocal_tags: list[str] = ["vocals", "vocal", "voice", "singing", "sung", "singer", "choir", "rap", "acapella"]
    """Tags that mean singing: such songs are dropped unheard. Case, hyphens and underscores do not matter."""

    min_seconds: float = Field(5.0, ge=0.4)
    """Shorter songs are quarantined."""

    max_seconds: float = Field(1200.0, gt=0)
    """Longer songs are quarantined, by what their header says, before they fill the memory."""

    max_megabytes: float = Field(1024.0, gt=0)
    """Larger files are quarantined unread."""

    keep_stems: str = ""
    """Folder for the separated stems (one folder a song, FLAC, the codecs' rate, mono), local or s3://; empty keeps
    none."""


class RetryConfig(PrepareConfig):
    """The same, and files that were quarantined are looked at again."""

    reasons: list[str] = []
    """Only files quarantined for these reasons, such as unreadable or crashed; all by default."""


class PlanConfig(PrepareConfig):
    """What `stems prepare` with these settings would do, and what it would cost."""

    sample: int = Field(3, ge=1)
    """Songs that are worked through, here, to measure the speed; nothing of them is kept."""

    workers: list[int] = [1, 8, 64]
    """Numbers of workers to estimate the time for."""

    price_per_hour: float = Field(0.0, ge=0)
    """What a worker costs an hour, in any currency; 0 leaves prices out."""


class RetokenizeConfig(TableJob):
    """New tokens from kept stems: nothing is separated again."""

    separator: str = ""
    """Only stems that this separator made: its directory, its name, or its id; by default all."""

    stems: str = ""
    """Folder that holds the kept stems now, where they were moved since: it takes the place of the folder that they
    were kept in, also in the table; local or s3://."""
