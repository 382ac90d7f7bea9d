"""`stems train lm` on a small token table."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.rows import song_row
from helpers.tiny import CODEC, LAYOUT

from models.errors import StemsError
from models.files.digest import directory_digest
from models.lm.language_model import StemLM
from pipelines.table.token_table import TokenTable
from pipelines.training.lm.batches import Batch, Sampler
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.prompts import TextMerging
from pipelines.training.lm.song_table import SongSet, open_songs, select_songs
from pipelines.training.lm.train_lm import train_lm

SPECIAL = CODEC.cardinality


@pytest.fixture(scope="module")
def songs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SongSet:
    return open_songs(select_songs(str(data / "tokens"), None), tmp_path_factory.mktemp("songs"))


def config(data: Path, output: Path, **changes: object) -> LMTraining:
    settings: dict[str, object] = {"steps": 6, "batch": 2, "learning_rate": 3e-3, "warmup_steps": 0, "log_every": 1}
    settings |= {"validation_examples": 2, "tracking": "off", "preset": "tiny", "precision": "float32"}
    settings |= {"table": str(data / "tokens"), "codecs": str(data / "codecs"), "output": str(output)}
    return LMTraining(**(settings | changes))


def sampler(**changes: object) -> Sampler:
    settings: dict[str, object] = {"segment_frames": 60, "seed": 1, "edit_share": 0.5, "text_dropout": 0.3}
    settings |= {"task_draw": "sample", "partial_masks": True, "span_share": 0.0, "text": TextMerging(0.25, 0.5, 0.5)}
    return Sampler(layout=LAYOUT, special=SPECIAL, **(settings | changes))  # type: ignore[arg-type]


def test_a_language_model_learns_and_its_export_opens(data: Path, tmp_path: Path) -> None:
    result = train_lm(config(data, tmp_path / "run", steps=30, learning_rate=2e-3, warmup_steps=5))
    before, after = result.history[0]["valid/text/loss"], result.final["valid/text/loss"]
    assert after < before - 0.3
    assert {f"valid/edit/{name}" for name in LAYOUT.names} <= set(result.final)
    lm = StemLM.load(result.directory)
    assert lm.layout == LAYOUT
    assert lm.config.codecs["bass"] == directory_digest(data / "codecs" / "bass")
    assert lm.config.cardinality == SPECIAL


def test_run_twice_it_goes_on_with_the_songs_that_it_began_with(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "tokens", tmp_path / "tokens")
    chosen = config(data, tmp_path / "run", table=str(tmp_path / "tokens"), steps=2)
    first = train_lm(chosen)
    table = TokenTable(str(tmp_path / "tokens"))
    began_with = table.version
    codecs = table.rows(columns=["codecs"])["codecs"][0].as_py()
    table.commit_tokens([song_row(99, codecs, "train")])
    assert table.version > began_with
    longer = train_lm(chosen.model_copy(update={"steps": 4}))
    assert longer.steps == 4
    assert longer.history[: len(first.history) - 1] == first.history[:-1]
    said = json.loads((tmp_path / "run" / "checkpoints" / "step-4" / "config.json").read_text())
    assert said["table_version"] == began_with


def test_a_batch_is_a_function_of_seed_step_and_index(songs: SongSet) -> None:
    whole = sampler().training(songs.train, 3, range(6))
    again = sampler().training(songs.train, 3, range(6))
    assert torch.equal(whole.columns, again.columns)
    assert whole.prompts == again.prompts
    # Two workers take the same six examples between them.
    halves = [sampler().training(songs.train, 3, range(rank, 6, 2)) for rank in range(2)]
    assert torch.equal(torch.stack([h.columns for h in halves], dim=1).flatten(0, 1), whole.columns)
    assert not torch.equal(sampler().training(songs.train, 4, range(6)).columns, whole.columns)
    assert not torch.equal(sampler(seed=2).training(songs.train, 3, range(6)).columns, whole.columns)


def test_text_is_dropped_as_often_as_asked(songs: SongSet) -> None:
    prompts = sampler().training(songs.train, 0, range(400)).prompts
    assert 0.2 < prompts.count("") / 400 < 0.4


def is_edit(batch: Batch) -> list[bool]:
    """An edit's first column is its prefix, which carries no loss."""
    return [not row[0] for row in batch.loss_columns.tolist()]


def test_a_whole_batch_may_be_one_task_for_all_workers(songs: SongSet) -> None:
    cut = sampler(task_draw="batch")
    tasks = [is_edit(cut.training(songs.train, step, range(4))) for step in range(60)]
    assert {tuple(task) for task in tasks} == {(True,) * 4, (False,) * 4}
    assert 15 < sum(task[0] for task in tasks) < 45
    assert [is_edit(cut.training(songs.train, step, [3])) for step in range(60)] == [task[3:] for task in tasks]
    assert len({tuple(is_edit(sampler().training(songs.train, step, range(4)))) for step in range(9)}) > 2


def test_partial_masks_are_the_papers_and_not_the_references(songs: SongSet) -> None:
    def half_hidden(partial: bool) -> int:
        prefix = sampler(edit_share=1.0, partial_masks=partial).training(songs.train, 0, range(40)).columns[..., 0]
        hidden = prefix[:, LAYOUT.slice("other")] == SPECIAL
        return int((hidden.any(dim=1) & ~hidden.all(dim=1)).sum())

    assert half_hidden(True) > 0
    assert half_hidden(False) == 0


def test_training_merges_captions_with_tags_and_validation_does_not(songs: SongSet) -> None:
    told = [replace(song, tags=("funk",)) for song in songs.train]
    always = TextMerging(merge_text=1.0, drop_description=0.0, drop_tag=0.0)
    prompts = sampler(text=always, text_dropout=0.0).training(told, 0, range(20)).prompts
    assert all(prompt.startswith("song ") and prompt.endswith(". funk") for prompt in prompts)
    assert sampler(text=always).text_validation(told, 2).prompts == ("song 1", "song 2")
    silent = [replace(song, caption="") for song in told]
    assert sampler().text_validation(silent, 2).prompts == ("funk", "funk")


def test_a_wrong_context_changes_the_other_stems_only(songs: SongSet) -> None:
    right = sampler().edit_validation(songs.valid, "bass", 2, swapped=False)
    wrong = sampler().edit_validation(songs.valid, "bass", 2, swapped=True)
    target = right.loss_columns[0]
    assert torch.equal(right.columns[:, 0, target], wrong.columns[:, 0, target])
    assert not torch.equal(right.columns[:, 2, target], wrong.columns[:, 2, target])


def test_a_table_version_stays_what_it_was(data: Path, songs: SongSet, tmp_path: Path) -> None:
    table = TokenTable(str(data / "tokens"))
    text = ",".join(f"{name}={digest}" for name, digest in songs.codecs.items())
    table.commit_tokens([song_row(99, text, "train")])
    assert len(open_songs(select_songs(str(data / "tokens"), songs.version), tmp_path).train) == len(songs.train)
    assert len(open_songs(select_songs(str(data / "tokens"), None), tmp_path).train) == len(songs.train) + 1


def test_songs_of_other_codecs_are_not_mixed_in(data: Path) -> None:
    with pytest.raises(StemsError, match="stems prepare"):
        select_songs(str(data / "tokens"), None, {"bass": "none", "drums": "none", "other": "none"})


def test_missing_codecs_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="no codecs"):
        train_lm(config(data, tmp_path / "run", codecs=str(tmp_path)))


def test_the_run_says_what_it_stands_on_and_keeps_its_samples(data: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    store = f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"
    result = train_lm(config(data, tmp_path / "run", tracking=store, steps=2, sample_every=2, sample_seconds=0.5))
    client = MlflowClient(tracking_uri=store)
    [run] = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    lm = StemLM.load(result.directory)
    assert run.data.tags["codec_digest.bass"] == lm.config.codecs["bass"]
    assert run.data.tags["table_version"] == str(TokenTable(str(data / "tokens")).version)
    assert run.data.tags["model_digest"] == directory_digest(result.directory)
    kept = {file.path for file in client.list_artifacts(run.info.run_id, "samples/step-2")}
    assert kept
    assert all((tmp_path / "run" / path).exists() for path in kept)
    assert "model/README.md" in {file.path for file in client.list_artifacts(run.info.run_id, "model")}
