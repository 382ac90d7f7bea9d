"""The catalog job against a plain loop over songs, and two workers against one: `python -m benchmarks.prepare`.

The loop separates each song with demucs' own `apply_model` at its defaults, and encodes the stems of those that are
not sung with transformers' EnCodec. Both have the same models, of random weights at a fraction of the released sizes.
A threshold between the songs' vocal scores makes the wanted share of them sung.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import EncodecModel

from benchmarks.turns import seconds
from models.audio.files import Audio, read_audio, write_audio
from models.codec.codec import build_codec
from models.codec.quantizer import start_codebooks
from models.codec.size import CodecSize
from models.separation import Separator, SeparatorSize, build_htdemucs, load_separator_directory, save_separator
from pipelines.evaluation.sdr import si_sdr
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.prepare import prepare

CODEBOOKS = {"bass": 1, "drums": 1, "other": 4}
SOURCES = ("drums", "bass", "other", "vocals")
RATE = 44_100


def write_models(root: Path, channels: int, filters: int) -> tuple[str, str]:
    """A separator in htdemucs' form and three codecs in EnCodec's, with fewer channels."""
    torch.manual_seed(0)
    save_separator(build_htdemucs(SeparatorSize(SOURCES, segment=7.8, channels=channels)), root / "separator")
    for name, codebooks in CODEBOOKS.items():
        codec = build_codec(CodecSize(filters=filters, latent=128, cardinality=2048), codebooks)
        start_codebooks(codec.network.quantizer, codec.latent(0.1 * torch.randn(8, 1, 32_000 * 6)), seed=0)
        codec.save(root / "codecs" / name)
    return str(root / "separator"), str(root / "codecs")


def write_songs(root: Path, songs: int, length: float) -> list[Path]:
    """Noise that swells and tones that wander: what is in them matters to no timing."""
    files = []
    for k in range(songs):
        rng = np.random.default_rng(k)
        time_ = np.arange(int(length * RATE)) / RATE
        tone = np.sin(2 * np.pi * (60 + 40 * k) * time_ + 3 * np.sin(time_))
        noise = rng.standard_normal((2, len(time_))) * (0.2 + 0.8 * rng.random())
        files.append(root / f"song {k}.flac")
        write_audio(files[-1], Audio((0.2 * tone + 0.1 * noise).astype(np.float32), RATE))
    return files


def plain_loop(files: list[Path], network: Any, codecs: dict[str, Any], sung: set[str]) -> None:
    """What a script does: one song after the other, with the libraries' own calls."""
    from demucs.apply import apply_model

    for file in files:
        mix = torch.from_numpy(read_audio(file).stereo().resample(RATE).samples)
        reference = mix.mean(0)
        scaled = (mix - reference.mean()) / reference.std()
        with torch.no_grad():
            stems = apply_model(network, scaled[None], device="cpu")[0] * reference.std() + reference.mean()
        if file.stem in sung:
            continue
        for name, network_of_stem in codecs.items():
            stem = Audio(stems[SOURCES.index(name)].numpy(), RATE).mono().resample(32_000)
            with torch.no_grad():
                network_of_stem.encode(torch.from_numpy(stem.samples)[None], bandwidth=bandwidth(network_of_stem))


def plain_seconds(root: Path, models: tuple[str, str], files: list[Path], sung: set[str]) -> float:
    """Seconds of the plain loop, loaded and warmed up before; to be called in a process of its own."""
    network, _ = load_separator_directory(models[0])
    codecs = {name: EncodecModel.from_pretrained(Path(models[1]) / name) for name in CODEBOOKS}
    warm_up = write_songs(root / "warm up", 1, 20.0)
    plain_loop(warm_up, network, codecs, set())
    return seconds(lambda: plain_loop(files, network, codecs, sung))


def bandwidth(network: Any) -> float:
    """The only bandwidth of a codec, in kbit/s."""
    return float(network.config.target_bandwidths[-1])


def job(root: Path, name: str, models: tuple[str, str], threshold: float, cpus: int, actors: int) -> float:
    """Seconds of `stems prepare` on a cluster of so many CPUs, which is up already."""
    import ray

    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    separator, codecs = models
    config = PrepareConfig(
        catalog=str(root / "songs"),
        table=str(root / name),
        separator=separator,
        codecs=codecs,
        vocal_threshold=threshold,
        actors=actors,
        threads=cpus // actors,
    )
    taken = seconds(lambda: prepare(config))
    ray.shutdown()
    return taken


def agreement(file: Path, network: Any, separator: Separator, excerpt: float) -> float:
    """The least SI-SDR, over stems, of ours against the library's without its random shift, in dB."""
    from demucs.apply import apply_model

    mix = torch.from_numpy(read_audio(file).samples[:, : int(excerpt * RATE)])
    reference = mix.mean(0)
    scaled = (mix - reference.mean()) / (reference.std() + 1e-8)
    with torch.no_grad():
        theirs = apply_model(network, scaled[None], shifts=0, device="cpu")[0]
    theirs = theirs * (reference.std() + 1e-8) + reference.mean()
    ours = separator.separate([mix.numpy()])[0]
    return min(si_sdr(theirs[k].numpy(), ours[name]) for k, name in enumerate(SOURCES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of a song")
    parser.add_argument("--channels", type=int, default=16, help="of the separator; htdemucs has 48")
    parser.add_argument("--filters", type=int, default=16, help="of the codecs; the paper's have 64")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        models = write_models(root, arguments.channels, arguments.filters)
        files = write_songs(root / "songs", arguments.songs, arguments.seconds)
        separator = Separator.load(models[0])
        network, _ = load_separator_directory(models[0])
        heard = {file.stem: separator.vocal_score([read_audio(file).stereo().samples])[0] for file in files}
        scores = sorted(heard.values())
        cut = round(0.7 * len(scores))
        threshold = (scores[cut - 1] + scores[cut]) / 2
        sung = {name for name, score in heard.items() if score > threshold}

        began = time.perf_counter()
        rows = []
        for what, limit, dropped in (("30 % sung", threshold, sung), ("none sung", 1.0, set[str]())):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                theirs = alone.submit(plain_seconds, root, models, files, dropped).result()
            ours = job(root, f"table of {what}", models, limit, cpus=2, actors=1)
            rows.append((what, f"{theirs:.0f} s", f"{ours:.0f} s", f"{theirs / ours:.2f} ×"))
        one = job(root, "one worker", models, 1.0, cpus=1, actors=1)
        two = job(root, "two workers", models, 1.0, cpus=2, actors=2)
        rows.append(("2 workers against 1", f"{one:.0f} s", f"{two:.0f} s", f"{one / two:.2f} ×"))
        table = Table("", "plain loop / 1 worker", "stems prepare", "ratio")
        for row in rows:
            table.add_row(*row)
        console = Console()
        console.print(table)
        agreed = agreement(files[0], network, separator, 30.0)
        console.print(f"stems against the library's: SI-SDR {agreed:.0f} dB at least")
        console.print(f"{len(files)} songs of {arguments.seconds:g} s; {time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
