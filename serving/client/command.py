"""The `stems request …` commands, which send requests to a running service. No torch, no Ray."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from models.audio.files import AudioFormat
from models.errors import StemsError
from models.files.output_folder import check_folder
from models.files.output_listing import is_song
from models.request_bounds import Prompt, Region, Seconds, StemNames
from serving.client.client import EndEvent, Job, JobEvent, ProgressEvent, RequestError, Stems
from serving.client.server import SERVER
from serving.kinds.kind import CommonFields

# Of jobs, as the service makes them: longer than most names of files, and without a dot.
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")

# A user who interrupts does not want to wait.
_CANCEL_S = 5.0


class RequestConfig(CommonFields):
    """The service, and how to reach it."""

    server: str = SERVER
    """Address of the service."""

    key: str | None = Field(default=None, repr=False)
    """API key; by default the environment's STEMS_API_KEY, which other users of the machine cannot see."""

    patience: float = Field(default=30.0, ge=0)
    """How long to try again while the service is busy or out of reach, in seconds."""

    format: AudioFormat | None = "wav"
    """Format of the audio files."""

    prompt: Prompt = ""
    """What it should sound like; empty for anything that fits."""

    output: str
    """Folder for stems, mix and manifest."""


class RequestSongConfig(RequestConfig):
    """Request a song from text."""

    seconds: Seconds = 10.0
    """Length of the song, in seconds."""

    output: str = "runs/song"
    """Folder for stems, mix and manifest."""


class _Source(RequestConfig):
    song: str
    """A mixed song, which is separated first; a folder of stems; or the id of an earlier job."""


class _Change(_Source):
    song: str
    """A mixed song, which is separated first; a folder of stems; or the id of an earlier job."""

    region: Region | None = None
    """Change only the time from START to END, as in --region 4 6; before and after, stems stay as they are."""


class RequestEditConfig(_Change):
    """Request an edit: regenerate some stems of a song, or add the ones it lacks."""

    song: str
    """A mixed song, which is separated first; a folder of stems; or the id of an earlier job."""

    regenerate: StemNames = Field(default=[])
    """Stems to regenerate, as in --regenerate bass drums. In a folder, stems without a file are generated too."""

    texture: StemNames = Field(default=[])
    """Stems that keep their notes and get another sound."""

    region: Region | None = None
    """Change only the time from START to END, as in --region 4 6; before and after, stems stay as they are."""

    silent: StemNames = Field(default=[])
    """Stems that stay silent."""

    keep: Literal["exact", "free"] = "exact"
    """exact: the other stems stay as they are; free: they vary too."""

    output: str = "runs/edit"
    """Folder for stems, mix and manifest."""


class RequestVariationConfig(_Change):
    """Request another texture of a stem: the same notes, another sound."""

    song: str
    """A mixed song, which is separated first; a folder of stems; or the id of an earlier job."""

    stem: str
    """Stem that gets another sound."""

    output: str = "runs/variation"
    """Folder for stems, mix and manifest."""


class RequestContinuationConfig(_Source):
    """Request more of a song: it goes on in all its stems, or in some while the others are given."""

    song: str
    """A mixed song, which is separated first; a folder of stems; or the id of an earlier job."""

    seconds: Seconds = 10.0
    """Length of the new part."""

    regenerate: StemNames = Field(default=[])
    """Stems that go on, while the others are given up to the new end; all by default."""

    output: str = "runs/continuation"
    """Folder for stems, mix and manifest."""


@dataclass(frozen=True)
class Saved:
    """A result that was written to a folder."""

    folder: Path
    job: Job

    def summary(self) -> Table:
        """Its stems: where each came from, and how long it is."""
        table = Table("stem", "origin", "seconds", title=f"{escape(str(self.folder))} · seed {self.job.seed}")
        manifest = self.job.manifest
        if manifest:
            for name, origin in (*((stem.name, stem.origin) for stem in manifest.stems), ("mix", "")):
                table.add_row(name, origin, f"{manifest.seconds:.1f}")
        return table


def song(config: RequestSongConfig) -> Saved:
    """Request a song and save it in ``config.output``."""
    return _request(config, lambda stems: stems.song(config.prompt, seconds=config.seconds, **_playing(config)))


def edit(config: RequestEditConfig) -> Saved:
    """Request an edit and save it in ``config.output``."""

    def ask(stems: Stems) -> Job:
        change = config.model_dump(include={"regenerate", "texture", "silent", "keep"})
        return stems.edit(config.prompt, **change, region=config.region, **_material(config))

    return _request(config, ask)


def variation(config: RequestVariationConfig) -> Saved:
    """Request a variation and save it in ``config.output``."""
    return _request(
        config, lambda stems: stems.variation(config.stem, config.prompt, region=config.region, **_material(config))
    )


def continuation(config: RequestContinuationConfig) -> Saved:
    """Request a continuation and save it in ``config.output``."""

    def ask(stems: Stems) -> Job:
        going = config.regenerate
        return stems.continuation(config.prompt, seconds=config.seconds, regenerate=going, **_material(config))

    return _request(config, ask)


def _request(config: RequestConfig, ask: Callable[[Stems], Job]) -> Saved:
    """Send the request, follow the job, save the result. An interruption cancels the job."""
    folder = Path(config.output)
    check_folder(config.output, ours=is_song)  # before a song is made that could not be saved
    with Stems(config.server, key=config.key, patience=config.patience) as stems:
        job = ask(stems)
        with _cancelling(config, job):
            done = _follow(stems, job)
        return Saved(stems.save(done, folder), done)


def _follow(stems: Stems, job: Job) -> Job:
    """Show a job's progress until it ends."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(job.state, total=None)
        for event in stems.events(job):
            if isinstance(event, ProgressEvent):
                bar.update(task, completed=event.frames, total=event.of or None)
            elif isinstance(event, JobEvent | EndEvent):
                job = event.job
                bar.update(task, description=job.state)
    return job


@contextmanager
def _cancelling(config: RequestConfig, job: Job) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        # A client of its own: the other one was interrupted in the midst of a request.
        try:
            with Stems(config.server, key=config.key, timeout=_CANCEL_S, patience=_CANCEL_S) as stems:
                stems.cancel(job)
        except RequestError as error:
            _say(f"job {job.id} could not be cancelled: {error}")
        raise
    except RequestError as error:
        if error.passing:
            _say(f"job {job.id} goes on without us.")
        raise


def _say(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


def _playing(config: RequestConfig) -> dict[str, Any]:
    return config.model_dump(include=set(CommonFields.model_fields))


def _material(config: _Source) -> dict[str, Any]:
    """The song, and how the result should sound."""
    fields = _playing(config)
    place = Path(config.song)
    if place.is_dir():
        return {**fields, "stems": place}
    if place.is_file():
        return {**fields, "song": place}
    if _JOB_ID.fullmatch(config.song):
        return {**fields, "of": config.song}
    raise StemsError(
        f"'{config.song}' is not a file, a folder or a job id.",
        "Give a mixed song, a folder of stems, or a job.",
        code="missing",
        field="song",
    )
