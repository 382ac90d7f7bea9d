"""From MusicGen's weights to a model of several stems: a start that already knows music and text.

The body, the text projection and the positions are MusicGen's. A stream's table and head are those of the MusicGen
codebook at the same depth: the first codebook of every stem comes from MusicGen's first, its residual codebook j from
codebook j; stems with more codebooks repeat the last.

The input is the sum of the streams' embeddings, so a codebook that now serves n streams would count n times. Its
copies are divided by n: where all stems say the same, the body reads exactly what MusicGen gave it, and where they
differ it reads their average, never more than it is used to. (Dividing by sqrt(n) would keep the spread of unrelated
stems, but lift what stems share, and the special id, out of the range that the body knows.) Heads are copied as they
are.
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
        musicgen: a model of the one stem ``mix``, as `stems import facebook/musicgen-small` makes it.
        layout: the stems of the new model.
        codecs: digests of the codecs whose tokens it will read, by stem.

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
    """For each stream, which of MusicGen's codebooks (from 0) it comes from."""
    return tuple(min(depth, MUSICGEN.streams - 1) for stem in layout.stems for depth in range(stem.codebooks))
