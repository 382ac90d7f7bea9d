"""The codecs of the authors' released format: ``compression_state_dict_<stem>.bin``."""

from __future__ import annotations

import math
import re
from typing import Any

from models.codec.codec import StemCodec
from models.errors import StemsError, first_line
from models.interchange.audiocraft_lm import ReleasedFile

# Map their parameter names to transformers', in order.
_RENAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(?:conv\.conv|convtr\.convtr)\.weight_g$", ".conv.parametrizations.weight.original0"),
    (r"\.(?:conv\.conv|convtr\.convtr)\.weight_v$", ".conv.parametrizations.weight.original1"),
    (r"\.(?:conv\.conv|convtr\.convtr)\.", ".conv."),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
)


def load_codec(released: ReleasedFile) -> StemCodec:
    """Build the codec that the configuration describes and fill in its weights; StemsError if they do not fit."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import EncodecModel

    try:
        network = EncodecModel(_encodec_config(released.config))
        network.load_state_dict({_renamed(name): value for name, value in released.weights.items()})
    except (KeyError, ValueError, RuntimeError, StrictDataclassError) as error:
        raise StemsError(
            f"The weights in '{released.path}' do not fit their configuration ({first_line(error)}).",
            "Copy the released file again.",
            field="codecs",
        ) from error
    return StemCodec(network.eval())


def _encodec_config(config: dict[str, Any]) -> Any:
    from transformers import EncodecConfig

    seanet, rvq = config["seanet"], config["rvq"]
    frame_rate = config["sample_rate"] / math.prod(seanet["ratios"])
    return EncodecConfig(
        # transformers derives the number of codebooks from a bandwidth.
        target_bandwidths=[rvq["n_q"] * frame_rate * math.ceil(math.log2(rvq["bins"])) / 1000],
        sampling_rate=config["sample_rate"],
        audio_channels=config["channels"],
        normalize=config["encodec"]["renormalize"],
        hidden_size=seanet["dimension"],
        codebook_dim=seanet["dimension"],
        codebook_size=rvq["bins"],
        num_filters=seanet["n_filters"],
        num_residual_layers=seanet["n_residual_layers"],
        upsampling_ratios=list(seanet["ratios"]),
        kernel_size=seanet["kernel_size"],
        residual_kernel_size=seanet["residual_kernel_size"],
        last_kernel_size=seanet["last_kernel_size"],
        dilation_growth_rate=seanet["dilation_base"],
        compress=seanet["compress"],
        num_lstm_layers=seanet["lstm"],
        use_causal_conv=seanet["causal"],
        use_conv_shortcut=not seanet["true_skip"],
        pad_mode=seanet["pad_mode"],
        trim_right_ratio=seanet["decoder"]["trim_right_ratio"],
        norm_type=seanet["norm"],
    )


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
