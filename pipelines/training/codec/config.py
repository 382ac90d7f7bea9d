"""Settings of `stems train codec`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipelines.training.config import TrainingConfig


class CodecTraining(TrainingConfig):
    """Train one stem's codec on a folder of stems, ``<stems>/<song>/<stem>.flac`` (or .wav)."""

    FREE: ClassVar[frozenset[str]] = TrainingConfig.FREE | {"stems", "memory_gb"}

    name: str = "codec"
    """Name of the run in MLflow."""

    stems: str
    """Folder of songs, each a folder of stems; local or s3://. Files on s3:// are copied to stems/ in the output
    directory when they are first read."""

    stem: str
    """Stem to learn, such as bass."""

    codebooks: int = Field(default=1, ge=1)
    """Residual codebooks: codes per frame."""

    preset: Literal["tiny", "paper"] | None = None
    """Size of the networks, by name (models/presets.py); by default paper. Not with --start-from, which brings its
    codec's sizes."""

    start_from: str = ""
    """Directory of a codec to start from instead of random weights: trained here, imported, or any mono EncodecModel.
    It may have more or fewer codebooks: the first ones are taken, new ones start from random weights. The directory
    must stay until training has ended."""

    adversarial: float = Field(default=4.0, ge=0)
    """Weight of the adversarial loss and of its feature loss; the mel loss weighs 2. 0 trains without a
    discriminator: several times faster, and the sound is duller."""

    wave: float = Field(default=0.1, gt=0)
    """Weight of the waveform loss. In a short run without a discriminator, a lower weight favours the spectrum."""

    batch: int = Field(default=64, ge=1)
    """Crops per step, over all workers together."""

    steps: int = Field(default=400_000, ge=1)
    """Optimizer steps."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate."""

    gradient_clip: float = Field(default=0.0, ge=0)
    """Largest gradient norm; 0 does not clip. Clipping is not needed: the balancer bounds the gradients that enter
    the decoder, and Adam ignores their scale."""

    average_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average of the weights that is validated and exported. 0 exports the last weights."""

    codebook_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average that codebooks follow. A short run with a high learning rate needs a lower decay,
    such as 0.9: the codes must keep up with the encoder."""

    crop_seconds: float = Field(default=1.0, gt=0)
    """Length of a training crop."""

    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of songs kept for validation (at least one song), chosen by a hash of the song's name."""

    memory_gb: float = Field(default=2.0, gt=0)
    """Memory for decoded audio in each worker, in GB. Songs that fit (two hours per GB) stay in memory; otherwise
    each crop is read from its file."""
