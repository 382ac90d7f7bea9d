"""The initial language model of a training: a new one, a trained one, or MusicGen converted to stems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models.codec.stored import read_codec_config
from models.errors import StemsError
from models.files.digest import directory_digest
from models.interchange.warm_start import check_warm_start, warm_start
from models.lm.language_model import LMConfig, StemLM
from models.lm.lora import add_adapters
from models.lm.text import t5_config
from models.presets import LM_SIZES
from models.stems import StemLayout
from pipelines.training.lm.config import LMTraining


def describe(config: LMTraining, layout: StemLayout, codecs: dict[str, str]) -> LMConfig:
    """The configuration of the model to train, for these codecs.

    Raises:
        StemsError: the codecs differ in size, or the model to start from does not fit them, the table or the
            other settings.
    """
    cardinality, frame_rate = _token_sizes(Path(config.codecs), layout)
    if config.start_from:
        return _started(config, layout, codecs, cardinality, frame_rate)
    if config.lora_rank:
        raise StemsError(
            f"lora_rank={config.lora_rank} freezes a model, but start_from names none.",
            "Name a trained model in start_from, or leave lora_rank at 0.",
            field="lora_rank",
        )
    size = LM_SIZES[config.preset or "small"]
    text = size.text
    if config.text_encoder:
        text = LM_SIZES["tiny"].text if config.text_encoder == "bytes" else t5_config(config.text_encoder)
    return LMConfig(
        layout=layout,
        cardinality=cardinality,
        dim=size.dim,
        heads=size.heads,
        layers=size.layers,
        segment_frames=round(size.segment_seconds * frame_rate),
        frame_rate=frame_rate,
        text=text,
        codecs=codecs,
    )


def first_model(config: LMTraining, lm_config: LMConfig) -> StemLM:
    """The model before the first step, with adapters if lora_rank is set.

    With adapters the rest is frozen, except the tables and heads of streams that MusicGen lacks.
    """
    if not config.start_from:
        return StemLM(lm_config)
    model = StemLM.load(lm_directory(config.start_from))
    other_stems = str(model.layout) != str(lm_config.layout)
    if other_stems:
        model = warm_start(model, lm_config.layout, lm_config.codecs)
    model.config = lm_config
    if config.lora_rank:
        model.requires_grad_(False)
        add_adapters(model.transformer, config.lora_rank, config.lora_alpha)
        for part in (model.transformer.embedding, model.transformer.heads):
            part.requires_grad_(other_stems)
    return model


def _token_sizes(codecs: Path, layout: StemLayout) -> tuple[int, float]:
    """Codes per stream and frames per second."""
    configs = [read_codec_config(codecs / name) for name in layout.names]
    cardinalities = {int(codec.codebook_size) for codec in configs}
    if len(cardinalities) > 1:
        raise StemsError(
            f"The codecs have codebooks of {sorted(cardinalities)} codes.",
            "Train codecs of one size, since all streams share it.",
            field="codecs",
        )
    return cardinalities.pop(), float(configs[0].frame_rate)


def _started(
    config: LMTraining, layout: StemLayout, codecs: dict[str, str], cardinality: int, frame_rate: float
) -> LMConfig:
    """The configuration of the model to start from (sizes, text encoder, delays), for these codecs."""
    for field in ("preset", "text_encoder"):
        if getattr(config, field):
            raise StemsError(
                f"{field}={getattr(config, field)} and start_from={config.start_from} both define the model.",
                f"Leave {field} out: the model in start_from has its own.",
                field=field,
            )
    base = LMConfig.load(lm_directory(config.start_from))
    if (base.cardinality, base.frame_rate) != (cardinality, frame_rate):
        raise StemsError(
            f"The model to start from reads {base.cardinality} codes per stream at {base.frame_rate:g} Hz, "
            f"the codecs write {cardinality} at {frame_rate:g} Hz.",
            "Prepare the table with codecs of the model's cardinality and frame rate.",
            code="mismatch",
            field="start_from",
        )
    if str(base.layout) != str(layout):
        check_warm_start(base.layout, layout)
        return replace(base, layout=layout, codecs=codecs)
    _check_codecs(base.codecs or _codecs_beside(Path(config.start_from), layout), codecs)
    return replace(base, codecs=codecs)


def _check_codecs(learned: Mapping[str, str], codecs: Mapping[str, str]) -> None:
    for stem, digest in learned.items():
        if digest != codecs[stem]:
            raise StemsError(
                f"The model to start from was trained with the codec {digest} of '{stem}', the table was made with "
                f"{codecs[stem]}.",
                "Prepare the table with the model's codecs.",
                code="mismatch",
                field="start_from",
            )


def _codecs_beside(directory: Path, layout: StemLayout) -> dict[str, str]:
    """Digests of the codecs in a whole model: imported language models do not record them. Empty without codecs."""
    folders = {stem: directory / "codecs" / stem for stem in layout.names}
    return {stem: directory_digest(folder) for stem, folder in folders.items() if folder.is_dir()}


def lm_directory(start_from: str) -> Path:
    """The language model's directory, given it or a whole model."""
    whole = Path(start_from) / "lm"
    return whole if whole.is_dir() else Path(start_from)
