"""Train the multi-stream language model: text-to-music and stem editing, mixed example by example."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from models.digest import directory_digest
from models.errors import StemsError
from models.lm.language_model import LMConfig, StemLM
from models.lm.objective import StreamLoss, stream_loss
from models.presets import LM_SIZES
from models.stems import StemLayout
from models.text import t5_config
from pipelines.training.lm_batches import Batch, Sampler
from pipelines.training.lm_config import LMTraining
from pipelines.training.loop import TrainingResult, train
from pipelines.training.recipe import Place, Recipe
from pipelines.training.songs import SongSet, read_songs

VALIDATION_BATCH = 8


def train_lm(config: LMTraining) -> TrainingResult:
    """Train on the newest version of the table, or the one asked for, and export the model."""
    digests = {folder.name: directory_digest(folder) for folder in _codec_directories(config.codecs)}
    songs = read_songs(config.table, config.table_version, digests)
    # Pinned here, so that every worker and every resumed run reads the same songs.
    pinned = config.model_copy(update={"table_version": songs.version})
    lm_config = describe(pinned, songs.layout, songs.codecs)
    return train(pinned, partial(LMRecipe, pinned, lm_config))


def describe(config: LMTraining, layout: StemLayout, codecs: dict[str, str]) -> LMConfig:
    """The model that a training configuration asks for, on these codecs."""
    from transformers import EncodecConfig

    size = LM_SIZES[config.preset]
    text = size.text
    if config.text_encoder:
        text = LM_SIZES["tiny"].text if config.text_encoder == "bytes" else t5_config(config.text_encoder)
    codec_configs = [EncodecConfig.from_pretrained(Path(config.codecs) / name) for name in layout.names]
    cardinalities = {int(codec.codebook_size) for codec in codec_configs}
    if len(cardinalities) > 1:
        raise StemsError(
            f"The codecs have codebooks of {sorted(cardinalities)} codes.",
            "Train codecs of one size: the streams share it.",
            field="codecs",
        )
    frame_rate = float(codec_configs[0].frame_rate)
    return LMConfig(
        layout=layout,
        cardinality=cardinalities.pop(),
        dim=size.dim,
        heads=size.heads,
        layers=size.layers,
        segment_frames=round(size.segment_seconds * frame_rate),
        frame_rate=frame_rate,
        text=text,
        codecs=codecs,
    )


class LMModule(nn.Module):
    """The language model and its loss in one call, as distributed wrappers want it."""

    def __init__(self, lm: StemLM) -> None:
        super().__init__()
        self.lm = lm

    def forward(self, columns: Tensor, loss_columns: Tensor, prompts: Sequence[str]) -> StreamLoss:
        """Loss of a batch; an empty prompt is no text."""
        condition = self.lm.text.encode(prompts)
        return stream_loss(self.lm.transformer, columns, loss_columns, condition, self.lm.layout.delays)


class LMRecipe(Recipe):
    """What the training loop needs to train the language model."""

    def __init__(self, config: LMTraining, lm_config: LMConfig) -> None:
        self.config = config
        self.lm = StemLM(lm_config)
        self.lm.transformer.recompute = config.recompute
        self.module = LMModule(self.lm)
        self.sampler = Sampler(
            layout=lm_config.layout,
            special=lm_config.cardinality,
            segment_frames=lm_config.segment_frames,
            seed=config.seed,
            edit_share=config.edit_share,
            text_dropout=config.text_dropout,
        )
        self.songs: SongSet
        self.device: torch.device

    def prepare(self, place: Place) -> None:
        """Read the table."""
        self.songs = read_songs(self.config.table, self.config.table_version, self.lm.config.codecs)
        self.device = place.device

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Loss of some examples of batch ``step``, and of each stream."""
        batch = self.sampler.training(self.songs.train, step, indices).to(self.device)
        loss: StreamLoss = module(batch.columns, batch.loss_columns, batch.prompts)
        return loss.mean, self._named(loss)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Loss on held-out songs: text-to-music by stream; editing by stem, in its own and in a wrong context."""
        songs, count = self.songs.valid, self.config.validation_examples
        if not songs:
            return {}
        text = self._evaluate(module, self.sampler.text_validation(songs, count))
        metrics = {"text/loss": float(text.mean)}
        metrics |= {f"text/{name}": value for name, value in self._named(text).items()}
        if len(self.songs.layout.stems) == 1:
            return metrics
        for stem in self.songs.layout.names:
            part = self.songs.layout.slice(stem)
            for name, swapped in (("edit", False), ("edit_wrong_context", True)):
                batch = self.sampler.edit_validation(songs, stem, count, swapped=swapped)
                metrics[f"{name}/{stem}"] = float(self._evaluate(module, batch).per_stream[part].mean())
        return metrics

    def shard_units(self) -> list[nn.Module]:
        """The layers, where the settings say that the model is spread over the workers."""
        return list(self.lm.transformer.layers) if self.config.sharding == "fsdp" else []

    def export(self, directory: Path) -> None:
        """Write the language model."""
        self.lm.save(directory)

    def _evaluate(self, module: nn.Module, batch: Batch) -> StreamLoss:
        """Loss of a validation batch, some examples at a time."""
        rows, size = len(batch.prompts), VALIDATION_BATCH
        parts: list[tuple[int, StreamLoss]] = []
        for start in range(0, rows, size):
            some = slice(start, start + size)
            piece = Batch(batch.columns[some], batch.loss_columns[some], batch.prompts[some]).to(self.device)
            parts.append((len(piece.prompts), module(piece.columns, piece.loss_columns, piece.prompts)))
        per_stream = torch.stack([loss.per_stream * count for count, loss in parts]).sum(dim=0) / rows
        return StreamLoss(per_stream.mean(), per_stream)

    def _named(self, loss: StreamLoss) -> dict[str, float]:
        return dict(zip(self.lm.layout.stream_names, loss.per_stream.tolist(), strict=True))


def _codec_directories(root: str) -> list[Path]:
    folders = sorted(folder for folder in Path(root).glob("*") if (folder / "config.json").is_file())
    if not folders:
        raise StemsError(
            f"There are no codecs in '{root}'.", "Give the directory that holds one codec a stem.", field="codecs"
        )
    return folders
