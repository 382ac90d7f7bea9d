"""Writes models in the authors' released format: the inverse of what `stems import` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from models.codec.codec import StemCodec
from models.lm.language_model import StemLM

_CODEC_RENAMES = (
    (r"^(encoder|decoder)\.layers\.", r"\1.model."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook."),
)


def write_release(
    directory: Path, lm: StemLM, codecs: Mapping[str, StemCodec], said: Mapping[str, Any] | None = None
) -> None:
    """Write ``state_dict.bin`` and a codec a stem; ``said`` is added to what the transformer says of itself."""
    directory.mkdir(parents=True)
    config = {
        "transformer_lm": {
            "dim": lm.config.dim,
            "num_heads": lm.config.heads,
            "num_layers": lm.config.layers,
            "hidden_scale": lm.config.feed_forward_ratio,
            "n_q": lm.layout.streams,
            "card": lm.config.cardinality,
            **(said or {}),
        },
        "codebooks_pattern": {"modeling": "delay", "delay": {"delays": list(lm.layout.delays)}},
        "conditioners": {"description": {"model": "t5", "t5": {"name": "t5-base"}}},
        "dataset": {"segment_duration": 30},
    }
    _save(directory / "state_dict.bin", _their_lm(lm), config)
    for stem, codec in codecs.items():
        _save(directory / f"compression_state_dict_{stem}.bin", _their_codec(codec), _codec_config(codec))


def _save(path: Path, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
    torch.save({"best_state": weights, "xp.cfg": yaml.safe_dump(config)}, path)


def _their_lm(lm: StemLM) -> dict[str, Tensor]:
    weights, streams = lm.transformer.state_dict(), lm.layout.streams
    text = "condition_provider.conditioners.description.output_proj"
    theirs = {f"emb.{k}.weight": part for k, part in enumerate(weights["embedding.weight"].chunk(streams))}
    theirs |= {f"linears.{k}.weight": part for k, part in enumerate(weights["heads.weight"].chunk(streams))}
    theirs |= {f"{text}.{part}": weights[f"text_projection.{part}"] for part in ("weight", "bias")}
    theirs |= {f"out_norm.{part}": weights[f"final_norm.{part}"] for part in ("weight", "bias")}
    for index in range(lm.config.layers):
        ours, root = f"blocks.{index}.", f"transformer.layers.{index}."
        cross = [weights[f"{ours}cross_attention.{part}.weight"] for part in ("query", "kv")]
        theirs |= {
            f"{root}self_attn.in_proj_weight": weights[f"{ours}self_attention.qkv.weight"],
            f"{root}self_attn.out_proj.weight": weights[f"{ours}self_attention.out.weight"],
            f"{root}cross_attention.in_proj_weight": torch.cat(cross),
            f"{root}cross_attention.out_proj.weight": weights[f"{ours}cross_attention.out.weight"],
            f"{root}linear1.weight": weights[f"{ours}expand.weight"],
            f"{root}linear2.weight": weights[f"{ours}contract.weight"],
        }
        for norm, name in (("norm1", "self_norm"), ("norm_cross", "cross_norm"), ("norm2", "feed_norm")):
            theirs |= {f"{root}{norm}.{part}": weights[f"{ours}{name}.{part}"] for part in ("weight", "bias")}
    return theirs


def _their_codec(codec: StemCodec) -> dict[str, Tensor]:
    return {_their_name(name): value for name, value in codec.network.state_dict().items()}


def _their_name(name: str) -> str:
    for pattern, replacement in _CODEC_RENAMES:
        name = re.sub(pattern, replacement, name)
    # Convolutions are wrapped twice; those of the decoder that are followed by an LSTM or a block are transposed.
    wrapped = "convtr.convtr" if re.match(r"decoder\.model\.(3|6|9|12)\.conv\.", name) else "conv.conv"
    return re.sub(r"\.conv\.(weight_g|weight_v|bias)$", rf".{wrapped}.\1", name)


def _codec_config(codec: StemCodec) -> dict[str, Any]:
    config = codec.network.config
    return {
        "sample_rate": codec.sample_rate,
        "channels": 1,
        "encodec": {"renormalize": False, "causal": config.use_causal_conv},
        "seanet": {
            "dimension": config.hidden_size,
            "n_filters": config.num_filters,
            "n_residual_layers": config.num_residual_layers,
            "ratios": list(config.upsampling_ratios),
            "kernel_size": config.kernel_size,
            "residual_kernel_size": config.residual_kernel_size,
            "last_kernel_size": config.last_kernel_size,
            "dilation_base": config.dilation_growth_rate,
            "compress": config.compress,
            "lstm": config.num_lstm_layers,
            "causal": "${encodec.causal}",  # as the authors' tools write it
            "true_skip": not config.use_conv_shortcut,
            "pad_mode": config.pad_mode,
            "norm": config.norm_type,
            "decoder": {"trim_right_ratio": config.trim_right_ratio},
        },
        "rvq": {"n_q": codec.codebooks, "bins": codec.cardinality},
    }
