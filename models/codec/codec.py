"""StemCodec: one stem's sound to codes and back."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.codec.network import build_network
from models.codec.quantizer import quantize
from models.codec.size import CodecSize
from models.codec.stored import check_codec_files
from models.codec.whole_song import around_lstm, in_chunks, remember, through
from models.errors import StemsError
from models.files.digest import directory_digest
from models.files.model_files import check_all_came, check_finite, foreign
from models.quiet import quiet_transformers

CHUNK_SECONDS = {"cpu": 3.5}
"""With its context, the largest layer's output stays just below 32 MB; from there on the C library gets new memory
from the system for each call, which takes much of the time."""

LONG_CHUNK_SECONDS = 30.0


class Reconstruction(NamedTuple):
    """Result of a training pass: the sound, the latents before quantization, their codes, the commitment loss."""

    wav: Tensor
    latent: Tensor
    codes: Tensor
    commitment: Tensor


class StemCodec(nn.Module):
    """An EnCodec network for one stem, mono (paper §II).

    Wraps ``transformers.EncodecModel`` and bypasses its bandwidths and its own chunking: there are always
    ``codebooks`` codes per frame.
    """

    def __init__(self, network: Any, digest: str = "") -> None:
        super().__init__()
        config = network.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise StemsError(
                f"This EnCodec has {config.audio_channels} channels, normalize={config.normalize} and chunks of "
                f"{config.chunk_length_s} s.",
                "Use a mono EnCodec without normalization and chunks, such as the 32 kHz model.",
                code="unsupported",
                field="codec",
            )
        self.network = network
        self._digest = digest

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return int(self.network.config.sampling_rate)

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return math.prod(self.network.config.upsampling_ratios)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def codebooks(self) -> int:
        """Codes per frame."""
        return len(self.network.quantizer.layers)

    @property
    def cardinality(self) -> int:
        """Codes per codebook."""
        return int(self.network.config.codebook_size)

    @property
    def digest(self) -> str:
        """Identity of these weights and sizes: the digest of the directory that they came from, or would fill."""
        if self._digest:
            return self._digest
        with tempfile.TemporaryDirectory() as directory:
            self.save(directory)
            return directory_digest(directory)

    def latent(self, wav: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, "batch latent frames"]:
        """The encoder's output, before quantization."""
        return self.network.encoder(wav)

    def forward(self, wav: Float[Tensor, "batch 1 samples"]) -> Reconstruction:
        """Encode, quantize with straight-through gradients, and decode, for training.

        Does not change the codebooks; :func:`models.codec.quantizer.update_codebooks` does.
        """
        latent = self.latent(wav)
        vectors, codes, commitment = quantize(self.network.quantizer, latent)
        sound = self.network.decoder(vectors)[..., : wav.shape[-1]]
        return Reconstruction(sound, latent, codes, commitment)

    @torch.no_grad()
    def encode(self, wav: Float[Tensor, "batch 1 samples"]) -> Int[Tensor, "batch codebooks frames"]:
        """Codes of waveforms, ceil(samples / hop) frames. Rows do not influence each other."""
        return self.network.quantizer.encode(self.latent(wav)).transpose(0, 1)

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "batch codebooks frames"]) -> Float[Tensor, "batch 1 samples"]:
        """Waveforms of codes, frames × hop samples."""
        return self.network.decoder(self.network.quantizer.decode(codes.transpose(0, 1)))

    @torch.no_grad()
    def encode_song(
        self, wav: Float[Tensor, " samples"], chunk_seconds: float = 0.0
    ) -> Int[Tensor, "codebooks frames"]:
        """Codes of a whole song, as :meth:`encode` gives them, in the memory of a chunk.

        See :mod:`models.codec.whole_song`. Rounding depends on the chunk size, so a code may differ where two codes
        are equally near.
        """
        frames, chunk = math.ceil(wav.shape[-1] / self.hop), self._chunk(chunk_seconds)
        if not frames:
            return torch.zeros(self.codebooks, 0, dtype=torch.long)
        down, lstm, last = around_lstm(self.network.encoder.layers)
        features = in_chunks(through(down), wav[None, None], frames, chunk, per=self.hop, made=1)
        features = remember(lstm, features, chunk)

        def codes(piece: Tensor) -> Tensor:
            return self.network.quantizer.encode(through(last)(piece))

        return in_chunks(codes, features, frames, chunk, per=1, made=1)[:, 0]

    @torch.no_grad()
    def decode_song(
        self, codes: Int[Tensor, "codebooks frames"], chunk_seconds: float = 0.0
    ) -> Float[Tensor, " samples"]:
        """The waveform of a whole song's codes, as :meth:`decode` gives it, in the memory of a chunk."""
        frames, chunk = codes.shape[-1], self._chunk(chunk_seconds)
        if not frames:
            return torch.zeros(0)
        first, lstm, up = around_lstm(self.network.decoder.layers)
        vectors = self.network.quantizer.decode(codes[:, None].long())
        features = in_chunks(through(first), vectors, frames, chunk, per=1, made=1)
        features = remember(lstm, features, chunk)
        return in_chunks(through(up), features, frames, chunk, per=1, made=self.hop)[0, 0]

    def _chunk(self, seconds: float) -> int:
        """Frames per chunk; 0 seconds chooses the fastest size for the device."""
        device = next(self.parameters()).device.type
        return max(1, round((seconds or CHUNK_SECONDS.get(device, LONG_CHUNK_SECONDS)) * self.frame_rate))

    def save(self, directory: Path | str) -> None:
        """Write a directory that ``transformers.EncodecModel.from_pretrained`` opens, with a README."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        with quiet_transformers():
            self.network.save_pretrained(directory)
        (directory / "README.md").write_text(_readme(self), encoding="utf-8")

    @staticmethod
    def load(directory: Path | str, device: str | torch.device = "cpu") -> StemCodec:
        """Open a directory written by :meth:`save`, or any mono EnCodec in transformers' format.

        StemsError ``missing``, ``unreadable`` or ``not_finite`` names the directory or the file in it.
        """
        from transformers import EncodecModel

        directory = Path(directory)
        check_codec_files(directory)
        with foreign(directory, "codec", "Train or copy the codec again."), quiet_transformers():
            network, loading = EncodecModel.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        check_all_came(loading, directory, "codec")
        check_finite(network.state_dict(), directory, "codec")
        return StemCodec(network, directory_digest(directory)).to(device).eval()


def build_codec(size: CodecSize, codebooks: int) -> StemCodec:
    """A codec with random weights and codebooks, drawn from torch's global generator."""
    if codebooks < 1:
        raise StemsError(f"A codec cannot have {codebooks} codebooks.", "Use 1 or more.", field="codebooks")
    return StemCodec(build_network(size, codebooks))


def _readme(codec: StemCodec) -> str:
    config = codec.network.config
    return (
        "# Stem codec\n\n"
        f"An EnCodec network for one stem: {codec.sample_rate} Hz mono, {codec.frame_rate:g} frames per second, "
        f"{codec.codebooks} codebook(s) of {codec.cardinality} codes, {config.num_filters} filters.\n\n"
        "Opens with `transformers.EncodecModel.from_pretrained` or `models.codec.codec.StemCodec.load`.\n"
    )
