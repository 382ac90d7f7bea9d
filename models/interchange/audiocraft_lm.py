"""The language model of the authors' released format: ``state_dict.bin``.

A torch file with the weights under ``best_state`` and the configuration as YAML text under ``xp.cfg``.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from models.errors import StemsError, first_line
from models.files.model_files import check_finite
from models.lm.edit_sequence import PREFIX_STRIDE
from models.lm.transformer import StemTransformer, TransformerSize

_REFERENCE = re.compile(r"\$\{([\w.]+)\}")

_TEXT = "condition_provider.conditioners.description.output_proj"

# The properties of this transformer. Releases with other settings (beside sizes) are refused.
_KNOWN: dict[str, Any] = {
    "activation": "gelu",
    "norm": "layer_norm",
    "norm_first": True,
    "bias_ff": False,
    "bias_attn": False,
    "bias_proj": False,
    "causal": True,
    "past_context": None,
    "layer_scale": None,
    "positional_embedding": "sin",
    "positional_scale": 1,
    "max_period": 10_000,
    "xpos": False,
    "qk_layer_norm": False,
    "qk_layer_norm_cross": False,
    "kv_repeat": 1,
    "ds_factor": PREFIX_STRIDE,
}


@dataclass(frozen=True)
class ReleasedFile:
    """One released file: its weights and its configuration."""

    path: Path
    weights: dict[str, Tensor]
    config: dict[str, Any]


def read_released(path: Path) -> ReleasedFile:
    """Open a released file without running code in it; StemsError for a missing or hostile file."""
    if not path.is_file():
        raise StemsError(f"There is no '{path}'.", "Give the directory of a released checkpoint.", code="missing")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        released = ReleasedFile(path, dict(content["best_state"]), read_config(content["xp.cfg"]))
    except pickle.UnpicklingError as error:
        raise StemsError(
            f"'{path}' holds more than weights, so it is not opened.",
            "Only load checkpoints of plain tensors.",
            code="unreadable",
            field="source",
        ) from error
    except Exception as error:  # a damaged file may make torch or yaml raise anything
        raise StemsError(
            f"'{path}' is not a released checkpoint ({type(error).__name__}: {first_line(error)}).",
            "It needs the entries best_state and xp.cfg.",
            code="unreadable",
            field="source",
        ) from error
    check_finite(released.weights, path, "source")
    return released


def read_config(text: str) -> dict[str, Any]:
    """A configuration as YAML text, in which ``${a.b}`` stands for the value at that path."""
    config: dict[str, Any] = yaml.safe_load(text)

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: resolved(item) for name, item in value.items()}
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if isinstance(value, str) and (path := _REFERENCE.fullmatch(value)):
            found: Any = config
            for name in path[1].split("."):
                found = found.get(name) if isinstance(found, dict) else None
            return value if found is None else resolved(found)
        return value

    return {name: resolved(value) for name, value in config.items()}


def released_delays(config: dict[str, Any]) -> tuple[int, ...]:
    """The delay of each stream."""
    pattern = config["codebooks_pattern"]
    streams = int(config["transformer_lm"]["n_q"])
    delays = (pattern.get(pattern["modeling"]) or {}).get("delays")
    return tuple(int(d) for d in delays) if delays else tuple(range(streams))


def load_transformer(released: ReleasedFile) -> StemTransformer:
    """Build the transformer that the configuration describes and fill in its weights.

    Raises:
        StemsError: the configuration is not supported, or the weights do not fit it.
    """
    config = _supported(released.config)
    try:
        text_weight = released.weights[f"{_TEXT}.weight"]
        size = TransformerSize(
            streams=int(config["n_q"]),
            cardinality=int(config["card"]),
            dim=int(config["dim"]),
            heads=int(config["num_heads"]),
            layers=int(config["num_layers"]),
            text_dim=text_weight.shape[1],
            feed_forward_ratio=int(config.get("hidden_scale", 4)),
        )
        model = StemTransformer(size)
        model.load_state_dict(_renamed(released.weights, size))
    except (KeyError, RuntimeError) as error:
        raise StemsError(
            f"The weights in '{released.path}' do not fit their configuration ({first_line(error)}).",
            "Copy the released file again.",
            field="source",
        ) from error
    return model.eval()


def _supported(config: dict[str, Any]) -> dict[str, Any]:
    """The transformer's part of a configuration, if all of it is supported."""
    found: dict[str, Any] = config["transformer_lm"]
    settings = found | (config.get("instrument_masking") or {})
    for name, value in _KNOWN.items():
        if settings.get(name, value) != value:
            raise StemsError(
                f"The release has {name}={settings[name]!r}.",
                f"Only {name}={value!r} is supported, as in musicgen-stem-6cb and -7cb.",
                code="unsupported",
                field="source",
            )
    return found


def _renamed(weights: dict[str, Tensor], size: TransformerSize) -> dict[str, Tensor]:
    renamed = {
        "embedding.weight": torch.cat([weights[f"emb.{k}.weight"] for k in range(size.streams)]),
        "heads.weight": torch.cat([weights[f"linears.{k}.weight"] for k in range(size.streams)]),
        "text_projection.weight": weights[f"{_TEXT}.weight"],
        "text_projection.bias": weights[f"{_TEXT}.bias"],
        "final_norm.weight": weights["out_norm.weight"],
        "final_norm.bias": weights["out_norm.bias"],
    }
    for index in range(size.layers):
        theirs, ours = f"transformer.layers.{index}.", f"blocks.{index}."
        query, keys_values = weights[theirs + "cross_attention.in_proj_weight"].split([size.dim, 2 * size.dim])
        renamed |= {
            ours + "self_attention.qkv.weight": weights[theirs + "self_attn.in_proj_weight"],
            ours + "self_attention.out.weight": weights[theirs + "self_attn.out_proj.weight"],
            ours + "cross_attention.query.weight": query.clone(),
            ours + "cross_attention.kv.weight": keys_values.clone(),
            ours + "cross_attention.out.weight": weights[theirs + "cross_attention.out_proj.weight"],
            ours + "expand.weight": weights[theirs + "linear1.weight"],
            ours + "contract.weight": weights[theirs + "linear2.weight"],
        }
        for norm, name in (("norm1", "self_norm"), ("norm_cross", "cross_norm"), ("norm2", "feed_norm")):
            for part in ("weight", "bias"):
                renamed[f"{ours}{name}.{part}"] = weights[f"{theirs}{norm}.{part}"]
    return renamed
