"""MusicGen from transformers (``facebook/musicgen-*``): the one-stem layout ``mix`` of four codebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.codec.codec import StemCodec
from models.errors import StemsError
from models.files.model_files import check_all_came, check_finite, foreign
from models.lm.language_model import LMConfig, StemLM
from models.lm.text import TextConfig
from models.lm.transformer import StemTransformer, TransformerSize
from models.quiet import quiet_transformers
from models.song.assembly import Assembly
from models.stems import Stem, StemLayout

SEGMENT_SECONDS = 30.0
"""MusicGen's training segment (Copet et al., 2023), which its configuration does not state."""

MIX = "mix"


def load_musicgen(name_or_directory: str | Path) -> Assembly:
    """Load a MusicGen by hub name or directory, as a model of one stem."""
    from transformers import MusicgenForConditionalGeneration

    hint = "Give a hub name such as facebook/musicgen-small, or a directory."
    what = f"The MusicGen '{name_or_directory}'"
    with foreign(what, "source", hint), quiet_transformers():
        theirs, loading = MusicgenForConditionalGeneration.from_pretrained(
            name_or_directory, dtype=torch.float32, output_loading_info=True
        )
    check_all_came(loading, what, "source")
    check_finite(theirs.state_dict(), what, "source")
    if theirs.decoder.config.audio_channels != 1:
        raise StemsError(
            f"'{name_or_directory}' is a stereo MusicGen.",
            "Give a mono MusicGen, such as facebook/musicgen-small.",
            code="unsupported",
            field="source",
        )
    codec = StemCodec(theirs.audio_encoder.eval())
    projection = theirs.enc_to_dec_proj if hasattr(theirs, "enc_to_dec_proj") else None
    transformer = transformer_from_musicgen(theirs.decoder, projection)
    size, text = transformer.size, theirs.config.text_encoder
    lm = StemLM(
        LMConfig(
            layout=StemLayout((Stem(MIX, size.streams),)),
            cardinality=size.cardinality,
            dim=size.dim,
            heads=size.heads,
            layers=size.layers,
            segment_frames=round(SEGMENT_SECONDS * codec.frame_rate),
            feed_forward_ratio=size.feed_forward_ratio,
            frame_rate=codec.frame_rate,
            text=TextConfig(kind="t5", name=text.name_or_path or str(name_or_directory), dim=size.text_dim),
        )
    )
    lm.transformer.load_state_dict(transformer.state_dict())
    return Assembly(lm.eval(), {MIX: codec}, separator=None)


def transformer_from_musicgen(decoder: Any, text_projection: Any) -> StemTransformer:
    """Our transformer with the weights of a ``MusicgenForCausalLM``.

    Args:
        decoder: the language model.
        text_projection: the linear layer before cross-attention; None if text is as wide as the model.
    """
    config = decoder.config
    text_dim = text_projection.in_features if text_projection is not None else config.hidden_size
    size = TransformerSize(
        streams=config.num_codebooks,
        cardinality=config.vocab_size,
        dim=config.hidden_size,
        heads=config.num_attention_heads,
        layers=config.num_hidden_layers,
        text_dim=text_dim,
        feed_forward_ratio=config.ffn_dim // config.hidden_size,
    )
    model = StemTransformer(size)
    model.load_state_dict(_renamed(decoder.state_dict(), text_projection, size))
    return model.eval()


def _renamed(weights: dict[str, Tensor], text_projection: Any, size: TransformerSize) -> dict[str, Tensor]:
    root = "model.decoder."
    if text_projection is None:
        projection = {"weight": torch.eye(size.dim), "bias": torch.zeros(size.dim)}
    else:
        projection = {"weight": text_projection.weight.detach(), "bias": text_projection.bias.detach()}
    renamed = {
        "embedding.weight": torch.cat([weights[f"{root}embed_tokens.{k}.weight"] for k in range(size.streams)]),
        "heads.weight": torch.cat([weights[f"lm_heads.{k}.weight"] for k in range(size.streams)]),
        "text_projection.weight": projection["weight"],
        "text_projection.bias": projection["bias"],
        "final_norm.weight": weights[root + "layer_norm.weight"],
        "final_norm.bias": weights[root + "layer_norm.bias"],
    }
    for index in range(size.layers):
        theirs, ours = f"{root}layers.{index}.", f"blocks.{index}."

        def part(kind: str, *names: str, prefix: str = theirs) -> Tensor:
            return torch.cat([weights[f"{prefix}{kind}.{name}_proj.weight"] for name in names])

        renamed |= {
            ours + "self_attention.qkv.weight": part("self_attn", "q", "k", "v"),
            ours + "self_attention.out.weight": part("self_attn", "out"),
            ours + "cross_attention.query.weight": part("encoder_attn", "q"),
            ours + "cross_attention.kv.weight": part("encoder_attn", "k", "v"),
            ours + "cross_attention.out.weight": part("encoder_attn", "out"),
            ours + "expand.weight": weights[theirs + "fc1.weight"],
            ours + "contract.weight": weights[theirs + "fc2.weight"],
        }
        norms = {
            "self_attn_layer_norm": "self_norm",
            "encoder_attn_layer_norm": "cross_norm",
            "final_layer_norm": "feed_norm",
        }
        for norm, name in norms.items():
            for kind in ("weight", "bias"):
                renamed[f"{ours}{name}.{kind}"] = weights[f"{theirs}{norm}.{kind}"]
    return renamed
