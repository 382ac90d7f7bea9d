"""Encoding and decoding a song by a stem codec, against transformers' EncodecModel.

The paper's size, random weights, codebooks fitted to noise, float32, the same threads, one process by turns. Both
get the whole song: here it goes through in chunks with context, as `stems prepare` and `stems generate` do it; there
in one piece, as EncodecModel does it.

Run ``python -m benchmarks.codec`` on an idle machine; results belong in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.turns import Work, compare
from models.codec.codec import StemCodec, build_codec
from models.codec.quantizer import start_codebooks
from models.presets import CODEC_SIZES


def fitted_codec(codebooks: int, device: str) -> StemCodec:
    """A codec whose codes vary."""
    codec = build_codec(CODEC_SIZES["paper"], codebooks).to(device).eval()
    with torch.no_grad():
        latent = codec.latent(0.1 * torch.randn(8, 1, 10 * codec.sample_rate, device=device))
    start_codebooks(codec.network.quantizer, latent, seed=0)
    return codec


def jobs(codec: StemCodec, song: Tensor) -> dict[str, tuple[Work, Work]]:
    """For encoding and decoding: the work here, and the work of transformers on the same network."""
    network: Any = codec.network
    codes = codec.encode_song(song)

    def their_codes() -> Tensor:
        with torch.no_grad():
            return network.encode(song[None, None]).audio_codes.cpu()

    def their_sound() -> Tensor:
        with torch.no_grad():
            return network.decode(codes[None, None], [None]).audio_values.cpu()

    return {
        "encode": (lambda: codec.encode_song(song).cpu(), their_codes),
        "decode": (lambda: codec.decode_song(codes).cpu(), their_sound),
    }


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the song")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} threads"
    title = f"{options.seconds:g} s of song, float32, {where}, times real time"
    table = Table("codebooks", "job", "here", "transformers", "times faster", title=title)
    for codebooks in (1, 4):
        codec = fitted_codec(codebooks, options.device)
        song = 0.1 * torch.randn(round(options.seconds * codec.sample_rate), device=options.device)
        for job, (ours, theirs) in jobs(codec, song).items():
            took = compare(ours, theirs, options.turns)
            speeds = [f"{options.seconds / value:.1f}" for value in (took.ours, took.theirs)]
            table.add_row(str(codebooks), job, *speeds, f"{took.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
