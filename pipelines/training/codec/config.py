"""Settings of `stems train codec`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipelines.training.config import TrainingConfig


class CodecTraining(TrainingConfig):
    """Train one stem's codec on a folder of stems, ``<stems>/<song>/<stem>.flac`` (or .wav)."""

    FREE: ClassVar[frozenset[str]] = TrainingConfig.FREE | {"stems", "memory_gb"}

    name: str = "codec"

    stems: str
    """Folder of songs, each a folder of stems; local or s3://. Files of an object store are copied to stems/ in the
    output directory on first use."""

    stem: str
    """Name of the stem."""

    codebooks: int = Field(default=1, ge=1)
    """Residual codebooks, so codes per frame."""

    preset: Literal["tiny", "paper"] | None = None
    """Size of the networks, by name (models/presets.py); paper by default. Not with start_from, which has sizes of
    its own."""

    start_from: str = ""
    """Directory of a codec to start from instead of random weights: a trained or imported one, or any mono
    EncodecModel. It may have more or fewer codebooks: the first ones are kept, additional ones are new. Keep the
    directory until training has ended."""

    adversarial: float = Field(default=4.0, ge=0)
    """Weight of the adversarial loss and of the feature loss; the mel loss weighs 2. 0 trains without a
    discriminator: several times faster, with duller sound."""

    wave: float = Field(default=0.1, gt=0)
    """Weight of the waveform loss. In a short run without a discriminator, a lower weight favours the spectrum."""

    batch: int = Field(default=64, ge=1)
    """Crops per step, over all workers together."""

    steps: int = Field(default=400_000, ge=1)
    """Optimizer steps."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate."""

    gradient_clip: float = Field(default=0.0, ge=0)
    """Largest gradient norm; 0 switches clipping off. Gradients need no limit: the balancer bounds those that enter
    the decoder, and Adam is invariant to scale. A limit would couple the codec's steps to the discriminator's."""

    average_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average of the weights, which is validated and exported. 0 exports the last weights."""

    codebook_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average of the codebooks. A short run with a high learning rate needs a lower value, such
    as 0.9, so that the codes keep up with the encoder."""

    crop_seconds: float = Field(default=1.0, gt=0)
    """Length of a training crop."""

    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the songs held out for validation, at least one song; chosen by a hash of the song's name."""

    memory_gb: float = Field(default=2.0, gt=0)
    """Memory for decoded audio per worker. A collection that fits (two hours in 1 GB) stays in memory; from a larger
    one, each crop is read from its file."""
