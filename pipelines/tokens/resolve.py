"""Resolve a job's settings once, at its start: model ids, layout, rule, limits and folders. No model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.codec.stored import read_codec_settings
from models.errors import StemsError
from models.files.digest import directory_digest
from models.files.model_files import check_file, read_settings, unreadable
from models.stems import Stem, StemLayout
from pipelines.table.schema import Identity
from pipelines.tokens.choose.vocal_rule import VocalRule, vocal_rule
from pipelines.tokens.config import PrepareConfig, RetokenizeConfig, TableJob
from pipelines.tokens.paths import model_place, place
from pipelines.tokens.songs.limits import SongLimits

_CODEC_WEIGHTS = "model.safetensors"
_CODEBOOK_KEY = "quantizer.layers."

_READS_NO_SONGS = SongLimits(0.0, 0.0, 0.0)
_DROPS_NO_SONGS = VocalRule(1.0)


@dataclass(frozen=True)
class ResolvedRun:
    """Everything that a job's settings mean, so that no later step reads a model's files for it again.

    A job on kept stems has no separator: its limits admit no song file, and its rule drops no song.

    Args:
        job: the settings as they were given: numbers of workers, sizes of commits, accepted errors.
        table: folder of the token table; folders are absolute paths or addresses in a store.
        report: folder of the job's report.
        keep_stems: folder for separated stems; empty keeps none.
        separator: directory of the separator, or the name of a released one; empty for a job on kept stems.
        codecs: directory of the codec directories.
        layout: stems in stream order.
        identity: what the rows of this job are keyed by.
        sample_rate: of the codecs, in Hz.
        cardinality: codes in the largest codebook.
        limits: length and size that a song may have.
        rule: what makes a song count as sung.
        allow_hosts: hosts from which songs may be fetched.
    """

    job: TableJob
    table: str
    report: str
    codecs: str
    layout: StemLayout
    identity: Identity
    sample_rate: int
    cardinality: int
    separator: str = ""
    keep_stems: str = ""
    limits: SongLimits = _READS_NO_SONGS
    rule: VocalRule = _DROPS_NO_SONGS
    allow_hosts: tuple[str, ...] = ()


def resolve_prepare(config: PrepareConfig) -> ResolvedRun:
    """Resolve a job that makes stems.

    Raises:
        StemsError: a model directory is missing or incomplete, the layout does not match the codecs, the separator
            lacks a stem, or its vocal threshold is outdated.
    """
    codecs = _read_codecs(config)
    separator = _separator_config(config.separator)
    _check_stored_sources(separator, codecs.layout)
    limits = SongLimits(config.min_seconds, config.max_seconds, config.max_megabytes)
    identity = Identity(model_id(config.separator, "separator"), _codec_ids(config, codecs.layout), str(limits))
    return ResolvedRun(
        job=config,
        table=place(config.table),
        report=_report_folder(config),
        codecs=model_place(config.codecs),
        layout=codecs.layout,
        identity=identity,
        sample_rate=codecs.sample_rate,
        cardinality=codecs.cardinality,
        separator=model_place(config.separator),
        keep_stems=place(config.keep_stems),
        limits=limits,
        rule=vocal_rule(config, separator),
        allow_hosts=tuple(config.allow_hosts),
    )


def resolve_retokenize(config: RetokenizeConfig) -> ResolvedRun:
    """Resolve a job on kept stems; its identity names no separator, as stems by several may be tokenized.

    Raises:
        StemsError: a codec's directory is missing or incomplete, or the layout does not match the codecs.
    """
    codecs = _read_codecs(config)
    return ResolvedRun(
        job=config,
        table=place(config.table),
        report=_report_folder(config),
        codecs=model_place(config.codecs),
        layout=codecs.layout,
        identity=Identity("", _codec_ids(config, codecs.layout), ""),
        sample_rate=codecs.sample_rate,
        cardinality=codecs.cardinality,
    )


def check_models(run: ResolvedRun) -> None:
    """Load a job's models once here, before a cluster starts workers that would all fail on them.

    The workers fetch a released separator themselves.

    Raises:
        StemsError: a model is damaged, or its weights are not finite; it names the file.
    """
    from models.codec.codec import StemCodec
    from models.separation import Separator

    for name in run.layout.names:
        StemCodec.load(Path(run.codecs) / name)
    if run.separator and Path(run.separator).exists():
        Separator.load(run.separator)


def model_id(name_or_directory: str, field: str) -> str:
    """The digest of a model's files; of a separator, its released name where it has one, and the procedure's version.

    As in ``1f3a5b7c9d0e`` for a codec, ``1f3a5b7c9d0e-2`` and ``htdemucs-2`` for separators.
    """
    path = Path(name_or_directory)
    if field == "separator":
        from models.separation.separator import PROCEDURE

        if path.exists() or "/" not in name_or_directory:
            return f"{directory_digest(path) if path.exists() else name_or_directory}-{PROCEDURE}"
    elif path.exists():
        return directory_digest(path)
    raise StemsError(f"There is no model in '{path}'.", "Check the path.", code="missing", field=field)


@dataclass(frozen=True)
class _Codecs:
    layout: StemLayout
    sample_rate: int
    cardinality: int


def _read_codecs(config: TableJob) -> _Codecs:
    """The stems and their codebooks, in stream order: the configuration's, or every codec by name."""
    folder = Path(config.codecs)
    found = sorted(child.name for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []
    if not found:
        raise StemsError(
            f"There are no codecs in '{folder}'.",
            "Give a folder with one codec directory for each stem, as `stems train codec` writes them.",
            code="missing",
            field="codecs",
        )
    asked = StemLayout.parse(config.layout) if config.layout else None
    names = asked.names if asked else found
    settings = [read_codec_settings(folder / name) for name in names]
    layout = StemLayout(tuple(Stem(name, _codebooks(folder / name)) for name in names))
    for stem, has in zip(asked.stems if asked else (), layout.stems, strict=bool(asked)):
        if has.codebooks != stem.codebooks:
            raise StemsError(
                f"The codec of '{stem.name}' has {has.codebooks} codebooks; the layout says {stem.codebooks}.",
                f"Write {stem.name}:{has.codebooks}, or train a codec with {stem.codebooks}.",
                field="layout",
            )
    return _Codecs(layout, settings[0]["sampling_rate"], max(each["codebook_size"] for each in settings))


def _codec_ids(config: TableJob, layout: StemLayout) -> str:
    """The codecs' ids in layout order, as in ``bass=1f…,drums=e0…``."""
    return ",".join(f"{name}={model_id(f'{config.codecs}/{name}', 'codecs')}" for name in layout.names)


def _report_folder(config: TableJob) -> str:
    return place(config.report) or f"{place(config.table).rstrip('/')}/reports"


def _codebooks(directory: Path) -> int:
    """Codebooks of a codec, from the names of its weights."""
    from safetensors import SafetensorError, safe_open

    check_file(directory / _CODEC_WEIGHTS, "codecs")
    try:
        with safe_open(directory / _CODEC_WEIGHTS, framework="np") as weights:
            names = [name for name in weights.keys() if name.startswith(_CODEBOOK_KEY)]  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise unreadable(directory / _CODEC_WEIGHTS, error, "codecs") from error
    if not names:
        raise unreadable(directory / _CODEC_WEIGHTS, "it holds no codebooks", "codecs")
    return len({name.removeprefix(_CODEBOOK_KEY).partition(".")[0] for name in names})


def _separator_config(separator: str) -> dict[str, Any]:
    file = Path(separator) / "config.json"
    # Released separators and demucs repositories have none.
    return read_settings(file, "separator") if file.exists() else {}


def _check_stored_sources(separator: dict[str, Any], layout: StemLayout) -> None:
    arguments = separator.get("arguments")
    sources = arguments.get("sources") if isinstance(arguments, dict) else None
    if sources is not None:
        check_sources(tuple(sources), layout)


def check_sources(sources: tuple[str, ...], layout: StemLayout) -> None:
    """Raise a StemsError if the separator does not give a stem of the layout."""
    missing = [name for name in layout.names if name not in sources]
    if missing:
        raise StemsError(
            f"The separator has no '{missing[0]}': it gives {', '.join(sources)}.",
            "Use another separator, or take the stem out of the layout.",
            field="layout",
        )
