"""What the demo's report states, taken from the tables, histories and songs that the demo left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.audio.files import Audio, read_audio, write_audio
from models.codec.codec import StemCodec
from models.song.assembly import Assembly
from models.song.song import Song
from pipelines.demo.band.render import RenderedSong
from pipelines.demo.results import (
    Clip,
    CodecRow,
    ContextRow,
    Counts,
    EditedSong,
    EditedStem,
    GeneratedSong,
    LossCurve,
    Quarantined,
    SeparationRow,
    VocalFilter,
)
from pipelines.demo.spectrograms import write_spectrogram
from pipelines.evaluation.sdr import sdr
from pipelines.table.entropy import unigram_cross_entropy
from pipelines.table.token_table import TokenTable
from pipelines.training.loop.train import TrainingResult


@dataclass(frozen=True)
class FinishedEdit:
    """A finished edit: the song's title, its stems before (as separated), the result, and its regenerated stems."""

    title: str
    source: Mapping[str, Audio]
    song: Song
    regenerated: tuple[str, ...]


def mixture(song: RenderedSong) -> Audio:
    """The sum of a rendered song's true stems."""
    stems = [read_audio(path) for path in song.stems.values()]
    return Audio(np.stack([stem.samples for stem in stems]).sum(axis=0, dtype=np.float32), stems[0].rate)


def prepared(table: TokenTable) -> tuple[Counts, tuple[Quarantined, ...]]:
    """What became of the catalog's files."""
    tokenized, dropped, quarantine = len(table.rows(columns=["song_id"])), table.dropped(), table.quarantine()
    rows = quarantine.to_pylist()
    listed = tuple(Quarantined(Path(row["uri"]).name, f"{row['reason']}: {row['message']}") for row in rows)
    songs = tokenized + len(dropped) + len(rows)
    return Counts(songs, len(dropped), len(rows), tokenized), listed


def vocal_filter(table: TokenTable, catalog: Sequence[RenderedSong]) -> VocalFilter:
    """How many sung songs were dropped, and instrumental ones kept, against what was rendered."""
    kept = {Path(uri).name for uri in table.rows(columns=["uri"])["uri"].to_pylist()}
    dropped = {Path(uri).name for uri in table.dropped()["uri"].to_pylist()}
    sung = {song.file.name for song in catalog if song.file and song.sung}
    instrumental = {song.file.name for song in catalog if song.file and not song.sung}
    return VocalFilter(len(sung), len(sung & dropped), len(instrumental), len(instrumental & kept))


def separation_rows(model: Assembly, songs: Sequence[RenderedSong]) -> tuple[SeparationRow, ...]:
    """Mean SDR by stem over songs whose stems are known, and that of the mixture as the estimate."""
    assert model.separator is not None
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in model.layout.names}
    for song in songs:
        mix = mixture(song).samples
        [estimate] = model.separator.separate([mix])
        for name, rows in scores.items():
            truth = read_audio(song.stems[name]).samples
            rows.append((sdr(truth, estimate[name]), sdr(truth, mix)))
    means = {name: np.mean(rows, axis=0) for name, rows in scores.items()}
    return tuple(SeparationRow(name, float(mean[0]), float(mean[1])) for name, mean in means.items())


def codec_row(stem: str, codec: StemCodec, training: TrainingResult) -> CodecRow:
    """A codec on held-out stems, against itself before training."""
    before, after = training.history[0], training.final
    return CodecRow(
        stem=stem,
        si_sdr=after["valid/si_sdr"],
        mel_trained=after["valid/mel_distance"],
        mel_untrained=before["valid/mel_distance"],
        perplexity=tuple(after[f"valid/perplexity_{k + 1}"] for k in range(codec.codebooks)),
        cardinality=codec.cardinality,
        mel_silence=after["valid/mel_distance_of_silence"],
    )


def loss_curve(training: TrainingResult, table: TokenTable, model: Assembly) -> LossCurve:
    """The language model's losses beside what knowing only the frequency of codes would score."""
    streams = model.layout.stream_names
    return LossCurve(
        training=tuple((row["step"], row["loss"]) for row in training.history if "loss" in row),
        validation=tuple(
            (row["step"], {name: row[f"valid/text/{name}"] for name in streams})
            for row in training.history
            if f"valid/text/{streams[0]}" in row
        ),
        entropy=unigram_cross_entropy(table.rows(), model.layout, model.lm.config.cardinality),
    )


def context_rows(training: TrainingResult, stems: Sequence[str]) -> tuple[ContextRow, ...]:
    """What hearing the other stems is worth to the language model, by hidden stem; nothing without two songs."""
    kinds, final = ("edit", "edit_wrong_context", "edit_listens"), training.final
    rows = {
        stem: [final[f"valid/{kind}/{stem}"] for kind in kinds if f"valid/{kind}/{stem}" in final] for stem in stems
    }
    return tuple(ContextRow(stem, *values) for stem, values in rows.items() if len(values) == len(kinds))


def generated_clips(song: Song, folder: Path) -> GeneratedSong:
    """Players and pictures of a generated song that lies in ``folder``."""
    clips = {name: pictured(name, folder / f"{name}.wav") for name in [*song.stems, "mix"]}
    return GeneratedSong(song.prompt, clips["mix"], tuple(clips[name] for name in song.stems))


def edited_clips(edit: FinishedEdit, model: Assembly, folder: Path) -> EditedSong:
    """Players and pictures of an edit in ``folder``, and which stems kept their tokens to the bit."""
    before = folder / "source"
    source = {name: audio.samples[0] for name, audio in edit.source.items()}
    source["mix"] = np.stack(list(source.values())).sum(axis=0, dtype=np.float32)
    for name, samples in source.items():
        write_audio(before / f"{name}.wav", Audio(samples[None], edit.song.rate))
    stems = []
    for name in edit.song.stems:
        tokens = model.encode_stem(name, source[name]).numpy()
        now = edit.song.codes[model.layout.slice(name)]
        stems.append(
            EditedStem(
                name=name,
                source=pictured(name, before / f"{name}.wav"),
                edited=pictured(name, folder / f"{name}.wav"),
                regenerated=name in edit.regenerated,
                identical=bool(np.array_equal(tokens, now)),
            )
        )
    mixes = (pictured("mix", before / "mix.wav"), pictured("mix", folder / "mix.wav"))
    return EditedSong(edit.title, edit.song.prompt, mixes[0], mixes[1], tuple(stems))


def forget_clips(folder: Path, song: Song) -> None:
    """Remove what the two functions above added to the folder of a song of an earlier run."""
    before = folder / "source"
    for name in (*song.stems, "mix"):
        for file in (folder / f"{name}.png", before / f"{name}.png", before / f"{name}.wav"):
            file.unlink(missing_ok=True)
    with suppress(OSError):
        before.rmdir()


def pictured(label: str, audio: Path) -> Clip:
    """Something to play, with a picture of its spectrogram beside its file."""
    return Clip(label, audio, write_spectrogram(read_audio(audio), audio.with_suffix(".png")))
