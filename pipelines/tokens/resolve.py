"""Which models a run uses: their ids, their layout and their threshold, without loading any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.codec.stored import read_codec_settings
from models.errors import StemsError
from models.files.digest import directory_digest
from models.files.model_files import check_file, read_settings, unreadable
from models.stems import Stem, StemLayout
from pipelines.table.schema import Identity
from pipelines.tokens.choose.vocal_rule import VocalRule, normal_tag
from pipelines.tokens.config import PrepareConfig, TableJob
from pipelines.tokens.songs.limits import Limits

_CODEC_WEIGHTS = "model.safetensors"
_CODEBOOK_KEY = "quantizer.layers."


def identity_of(config: PrepareConfig) -> Identity:
    """What rows of this run are keyed by.

    Raises:
        StemsError: a model directory is missing or incomplete, or the separator lacks a stem.
    """
    layout = layout_of(config)
    _check_sources(config.separator, layout)
    return Identity(
        separator=model_id(config.separator, "separator"),
        codecs=codec_ids(config, layout),
        limits=str(limits_of(config)),
    )


def codec_ids(config: TableJob, layout: StemLayout) -> str:
    """The codecs' ids in layout order, as in ``bass=1f…,drums=e0…``."""
    return ",".join(f"{name}={model_id(f'{config.codecs}/{name}', 'codecs')}" for name in layout.names)


def limits_of(config: PrepareConfig) -> Limits:
    """What a song may be."""
    return Limits(config.min_seconds, config.max_seconds, config.max_megabytes)


def vocal_rule(config: PrepareConfig) -> VocalRule:
    """What makes a song count as sung."""
    return VocalRule(vocal_threshold(config), frozenset(map(normal_tag, config.vocal_tags)))


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


def layout_of(config: TableJob) -> StemLayout:
    """The stems and their codebooks, in stream order: the configuration's, or every codec by name.

    Raises:
        StemsError: no codecs there, or a stem whose codec is missing or has other codebooks.
    """
    folder = Path(config.codecs)
    found = sorted(child.name for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []
    if not found:
        raise StemsError(
            f"There are no codecs in '{folder}'.",
            "Give a folder with one codec directory for each stem, as `stems train codec` writes them.",
            code="missing",
            field="codecs",
        )
    if not config.layout:
        return StemLayout(tuple(Stem(name, _codebooks(folder / name)) for name in found))
    layout = StemLayout.parse(config.layout)
    for stem in layout.stems:
        codebooks = _codebooks(folder / stem.name)
        if codebooks != stem.codebooks:
            raise StemsError(
                f"The codec of '{stem.name}' has {codebooks} codebooks; the layout says {stem.codebooks}.",
                f"Write {stem.name}:{codebooks}, or train a codec with {stem.codebooks}.",
                field="layout",
            )
    return layout


def check_models(config: TableJob, layout: StemLayout) -> None:
    """Load a job's models once here, before a cluster starts workers that would all fail at them.

    A released separator is left to the workers, which fetch it.

    Raises:
        StemsError: a model is damaged, or its weights are not finite; it names the file.
    """
    from models.codec.codec import StemCodec
    from models.separation import Separator

    for name in layout.names:
        StemCodec.load(Path(config.codecs) / name)
    if isinstance(config, PrepareConfig) and (not config.separator or Path(config.separator).exists()):
        Separator.load(config.separator)


def codec_kind(config: TableJob, layout: StemLayout) -> tuple[int, int]:
    """Sample rate of the codecs in Hz, and the codes in their largest codebook, without loading them.

    Raises:
        StemsError: a codec's configuration is missing or damaged.
    """
    kinds = []
    for name in layout.names:
        settings = read_codec_settings(Path(config.codecs) / name)
        kinds.append((settings["sampling_rate"], settings["codebook_size"]))
    return kinds[0][0], max(cardinality for _, cardinality in kinds)


def vocal_threshold(config: PrepareConfig) -> float:
    """The score above which a song counts as sung: the configuration's, the separator's, or the general one.

    Raises:
        StemsError: the separator's was measured with the score of an earlier release, and there is no other.
    """
    from models.separation.directory import outdated_threshold, stored_threshold
    from models.separation.vocals import DEFAULT_THRESHOLD

    if config.vocal_threshold:
        return config.vocal_threshold
    own = _separator_config(config.separator)
    if outdated_threshold(own):
        raise StemsError(
            f"The vocal threshold of '{config.separator}' was measured with the vocal score of an earlier release.",
            "Give --vocal-threshold (`python -m benchmarks.vocals` measures it), or train the separator again.",
            code="outdated",
            field="vocal_threshold",
        )
    return stored_threshold(own) or DEFAULT_THRESHOLD


def _codebooks(directory: Path) -> int:
    """Codebooks of a codec, from the names of its weights."""
    from safetensors import SafetensorError, safe_open

    read_codec_settings(directory)
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
    # Released names and demucs repositories have none.
    return read_settings(file, "separator") if file.exists() else {}


def _check_sources(separator: str, layout: StemLayout) -> None:
    arguments = _separator_config(separator).get("arguments")
    sources = arguments.get("sources") if isinstance(arguments, dict) else None
    if sources is not None:
        check_sources(tuple(sources), layout)


def check_sources(sources: tuple[str, ...], layout: StemLayout) -> None:
    """StemsError when a stem of the layout is none of the separator's sources."""
    missing = [name for name in layout.names if name not in sources]
    if missing:
        raise StemsError(
            f"The separator has no '{missing[0]}': it gives {', '.join(sources)}.",
            "Use another separator, or take the stem out of the layout.",
            field="layout",
        )
