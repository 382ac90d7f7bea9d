"""Convert a whole release of the authors (such as ``facebook/musicgen-stem-6cb``) to this project's model."""

from __future__ import annotations

from pathlib import Path

from models.codec.codec import StemCodec
from models.errors import StemsError
from models.interchange.audiocraft_codec import load_codec
from models.interchange.audiocraft_lm import ReleasedFile, load_transformer, read_released, released_delays
from models.lm.language_model import LMConfig, StemLM
from models.lm.text import TextConfig
from models.song.assembly import Assembly
from models.stems import Stem, StemLayout

LM_FILE = "state_dict.bin"
CODEC_FILES = "compression_state_dict_*.bin"
"""Names of the authors' released files; a codec's name ends in its stem."""


def load_release(directory: Path) -> Assembly:
    """Load a release: the language model and all codecs, with sizes read from it. A release has no separator.

    Streams follow the stems in alphabetical order, which is the released one: bass, drums, other.
    """
    released = read_released(directory / LM_FILE)
    files = {_stem_of(file): file for file in sorted(directory.glob(CODEC_FILES))}
    if not files:
        raise StemsError(
            f"'{directory}' has no codecs.",
            f"A release has files named {CODEC_FILES}.",
            code="missing",
            field="codecs",
        )
    codecs = {name: load_codec(read_released(file)) for name, file in files.items()}
    layout = _layout(codecs, released_delays(released.config))
    return Assembly(_language_model(released, layout, next(iter(codecs.values()))), codecs, separator=None)


def _stem_of(file: Path) -> str:
    return file.stem.removeprefix(CODEC_FILES.partition("*")[0])


def _layout(codecs: dict[str, StemCodec], delays: tuple[int, ...]) -> StemLayout:
    stems, start = [], 0
    for name, codec in codecs.items():
        stems.append(Stem(name, codec.codebooks, delays[start : start + codec.codebooks]))
        start += codec.codebooks
    if start != len(delays):
        raise StemsError(
            f"The codecs have {start} codebooks together, the language model {len(delays)} streams.",
            "Give the codecs of the same release.",
            field="codecs",
        )
    return StemLayout(tuple(stems))


def _language_model(released: ReleasedFile, layout: StemLayout, codec: StemCodec) -> StemLM:
    transformer = load_transformer(released)
    config, size = released.config, transformer.size
    text = config["conditioners"]["description"]
    lm = StemLM(
        LMConfig(
            layout=layout,
            cardinality=size.cardinality,
            dim=size.dim,
            heads=size.heads,
            layers=size.layers,
            segment_frames=round(config["dataset"]["segment_duration"] * codec.frame_rate),
            feed_forward_ratio=size.feed_forward_ratio,
            frame_rate=codec.frame_rate,
            text=TextConfig(kind="t5", name=text["t5"]["name"], dim=size.text_dim),
        )
    )
    lm.transformer.load_state_dict(transformer.state_dict())
    return lm.eval()
