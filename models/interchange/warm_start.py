"""Start a model of several stems from MusicGen's weights, which already know music and text.

The body, the text projection and the positions are MusicGen's. A stream's table and head come from the MusicGen
codebook at the same depth: the first codebook of every stem from MusicGen's first, residual codebook j from codebook
j; stems with more codebooks repeat the last.

The input is the sum of the streams' embeddings, so a codebook that now serves n streams would count n times. Its
copies are divided by n: where all stems agree, the body's input is exactly MusicGen's, and where they differ it is
their average, within the range of its training. (Dividing by sqrt(n) would keep the spread of unrelated stems, but
lift shared parts, and the special id, out of that range.) Heads are copied unchanged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch

from models.errors import StemsError
from models.lm.language_model import StemLM
from models.stems import MUSICGEN, StemLayout


def warm_start(musicgen: StemLM, layout: StemLayout, codecs: dict[str, str]) -> StemLM:
    """A language model of ``layout`` that starts from MusicGen's weights.

    Args:
        musicgen: a model with the single stem ``mix``, as from `stems import --source facebook/musicgen-small`.
        layout: the stems of the new model.
        codecs: digests of the codecs of its tokens, by stem.

    Raises:
        StemsError: the given model has other stems.
    """
    check_warm_start(musicgen.config.layout, layout)
    sources = codebook_sources(layout)
    model = StemLM(replace(musicgen.config, layout=layout, codecs=codecs))
    uses = Counter(sources)
    weights = musicgen.state_dict()
    tables = weights["transformer.embedding.weight"].chunk(MUSICGEN.streams)
    heads = weights["transformer.heads.weight"].chunk(MUSICGEN.streams)
    weights |= {
        "transformer.embedding.weight": torch.cat([tables[source] / uses[source] for source in sources]),
        "transformer.heads.weight": torch.cat([heads[source] for source in sources]),
    }
    model.load_state_dict(weights)
    return model


def check_warm_start(found: StemLayout, wanted: StemLayout) -> None:
    """Refuse to start a model of other stems from anything but MusicGen."""
    if found != MUSICGEN:
        raise StemsError(
            f"The model to start from has the stems {found}, the table {wanted}.",
            "Start from a model of the same stems, or from a MusicGen.",
            code="mismatch",
            field="start_from",
        )


def codebook_sources(layout: StemLayout) -> tuple[int, ...]:
    """The MusicGen codebook (from 0) that each stream comes from."""
    return tuple(min(depth, MUSICGEN.streams - 1) for stem in layout.stems for depth in range(stem.codebooks))
