"""Train the multi-stream language model: text-to-music and stem editing, mixed example by example."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from models.codec.codec import StemCodec
from models.errors import StemsError
from models.files.digest import directory_digest
from models.files.licence import keep_licences
from models.lm.language_model import LMConfig, StemLM
from models.lm.lora import merged
from models.lm.objective import StreamLoss, stream_loss
from pipelines.training.lm.batches import Batch, Sampler
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.prompts import TextMerging, plain_prompt
from pipelines.training.lm.samples import Listener
from pipelines.training.lm.song_table import SongSet, open_songs, select_songs
from pipelines.training.lm.start import describe, first_model, lm_directory
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.run_directory import open_run_directory
from pipelines.training.loop.train import TrainingResult, resumed_setting, train

VALIDATION_BATCH = 8
SAMPLED_SONGS = 3


def train_lm(config: LMTraining) -> TrainingResult:
    """Train on the newest or the given version of the table, and export the model.

    A resumed run reads the version that it started with, even if the table has grown since.
    """
    resolved = config.with_absolute("output", "table", "codecs", "start_from")
    open_run_directory(resolved)
    if resolved.table_version is None:
        resolved = resolved.model_copy(update={"table_version": resumed_setting(resolved, "table_version")})
    digests = {folder.name: directory_digest(folder) for folder in _codec_directories(resolved.codecs)}
    chosen = select_songs(resolved.table, resolved.table_version, digests)
    lm_config = describe(resolved, chosen.layout, chosen.codecs)
    # Copied once, here, for all workers.
    open_songs(chosen, song_folder(resolved))
    # Pinned, so that every worker and every resumed run reads the same songs.
    pinned = {"table_version": chosen.version}
    recipe = partial(LMRecipe, resolved.model_copy(update=pinned), lm_config)
    # A checkpoint records the settings as given, so that a run may be resumed with the same command.
    return train(config.model_copy(update=pinned), recipe)


def song_folder(config: LMTraining) -> Path:
    """Folder of a run's copy of the songs."""
    return Path(config.output) / "songs"


class LMModule(nn.Module):
    """The language model and its loss in one call, as distributed wrappers need it."""

    def __init__(self, lm: StemLM) -> None:
        super().__init__()
        self.lm = lm

    def forward(self, columns: Tensor, loss_columns: Tensor, prompts: Sequence[str]) -> StreamLoss:
        """Loss of a batch; an empty prompt counts as no text."""
        condition = self.lm.text.encode(prompts)
        return stream_loss(self.lm.transformer, columns, loss_columns, condition, self.lm.layout.delays)


class LMRecipe(Recipe):
    """The recipe that trains the language model."""

    def __init__(self, config: LMTraining, lm_config: LMConfig) -> None:
        self.config = config
        self.lm = first_model(config, lm_config)
        self.lm.transformer.recompute = config.recompute
        self.module = LMModule(self.lm)
        self.sampler = Sampler(
            layout=lm_config.layout,
            special=lm_config.cardinality,
            segment_frames=lm_config.segment_frames,
            seed=config.seed,
            edit_share=config.edit_share,
            text_dropout=config.text_dropout,
            task_draw=config.task_draw,
            partial_masks=config.partial_masks,
            span_share=config.span_share,
            text=TextMerging(config.merge_text, config.drop_description, config.drop_tag),
        )
        self.songs: SongSet
        self.device: torch.device

    def prepare(self, place: Place) -> None:
        """Open the songs."""
        chosen = select_songs(self.config.table, self.config.table_version, self.lm.config.codecs)
        self.songs = open_songs(chosen, song_folder(self.config))
        self.device = place.device

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Loss of some examples of batch ``step``, and of each stream."""
        batch = self.sampler.training(self.songs.train, step, indices).to(self.device)
        loss: StreamLoss = module(batch.columns, batch.loss_columns, batch.prompts)
        return loss.mean, self._named(loss)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Loss on held-out songs: text-to-music by stream; editing by stem, in its own and in a wrong context.

        ``edit_listens`` is the share of examples in which its own context predicts the hidden stem better.
        """
        songs, count = self.songs.valid, self.config.validation_examples
        if not songs:
            return {}
        text = self._evaluate(module, self.sampler.text_validation(songs, count))
        metrics = {"text/loss": float(text.mean)}
        metrics |= {f"text/{name}": value for name, value in self._named(text).items()}
        if len(self.songs.layout.stems) == 1:
            return metrics
        for stem in self.songs.layout.names:
            right = self._hidden_loss(module, stem, swapped=False)
            metrics[f"edit/{stem}"] = float(right.mean())
            if len(songs) > 1:
                wrong = self._hidden_loss(module, stem, swapped=True)
                metrics[f"edit_wrong_context/{stem}"] = float(wrong.mean())
                metrics[f"edit_listens/{stem}"] = float((right < wrong).float().mean())
        return metrics

    def _hidden_loss(self, module: nn.Module, stem: str, *, swapped: bool) -> Tensor:
        """Loss of a hidden stem in each validation example, its context another song's where ``swapped``."""
        count, part = self.config.validation_examples, self.songs.layout.slice(stem)
        batch = self.sampler.edit_validation(self.songs.valid, stem, count, swapped=swapped)
        return self._evaluate(module, batch).per_example[:, part].mean(dim=1)

    def facts(self) -> dict[str, str]:
        """The version of the table, and the digests of the codecs that made its tokens."""
        digests = {f"codec_digest.{stem}": digest for stem, digest in self.lm.config.codecs.items()}
        return {"table_version": str(self.songs.version), **digests}

    def shard_units(self) -> list[nn.Module]:
        """The layers, if the model is sharded over the workers."""
        return list(self.lm.transformer.layers) if self.config.sharding == "fsdp" else []

    def sample(self, directory: Path) -> None:
        """Write songs from text, and an edit of a validation song."""
        config, layout = self.config, self.lm.layout
        songs = self.songs.valid or self.songs.train
        prompts = config.sample_prompts or [plain_prompt(song.caption, song.tags) for song in songs[:SAMPLED_SONGS]]
        codecs = {name: StemCodec.load(Path(config.codecs) / name, self.device) for name in layout.names}
        listener = Listener(self.lm, codecs, config.sample_seconds, config.seed, directory)
        listener.write_songs(prompts)
        if len(layout.stems) > 1:
            listener.write_edit(songs[0])

    def export(self, directory: Path) -> None:
        """Write the language model; adapters become part of its weights."""
        self.lm.transformer = merged(self.lm.transformer)
        self.lm.save(directory)
        if self.config.start_from:
            keep_licences([lm_directory(self.config.start_from)], directory)

    def _evaluate(self, module: nn.Module, batch: Batch) -> StreamLoss:
        """Loss of a validation batch, some examples at a time."""
        found: list[Tensor] = []
        for start in range(0, len(batch.prompts), VALIDATION_BATCH):
            some = slice(start, start + VALIDATION_BATCH)
            piece = Batch(batch.columns[some], batch.loss_columns[some], batch.prompts[some]).to(self.device)
            found.append(module(piece.columns, piece.loss_columns, piece.prompts).per_example)
        per_example = torch.cat(found)
        return StreamLoss(per_example.mean(dim=0).mean(), per_example)

    def _named(self, loss: StreamLoss) -> dict[str, float]:
        return dict(zip(self.lm.layout.stream_names, loss.per_stream.tolist(), strict=True))


def _codec_directories(root: str) -> list[Path]:
    folders = sorted(folder for folder in Path(root).glob("*") if (folder / "config.json").is_file())
    if not folders:
        raise StemsError(
            f"There are no codecs in '{root}'.", "Give the directory that holds one codec per stem.", field="codecs"
        )
    return folders
