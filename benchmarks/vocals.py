"""The vocal threshold of a separator, on songs whose voice is known:
`python -m benchmarks.vocals --separator htdemucs --songs musdb18hq/test`.

Each song of the folder (`song/bass.wav`, `song/drums.wav`, `song/other.wav`, `song/vocals.wav`, as in MUSDB18-HQ,
whose other half the released networks learned from) is separated as a whole without its vocals, with them, with one
verse of 15 s of them, and with them 10 dB quieter. What is printed: the scores of each kind, the threshold that best
parts songs without a voice from songs that are sung or have a verse, and how many songs that threshold, and those of
--also, get wrong. Songs without vocals count as instrumental alone.

Without --songs, songs are rendered, with a lead instrument in place of the voice as one more kind; --given scores the
known stems themselves, which no separator has touched.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.audio.files import Audio, read_audio
from models.separation import Separator
from models.separation.vocals import DEFAULT_THRESHOLD, VOCALS, best_threshold, vocal_score
from pipelines.demo.band.band import play
from pipelines.demo.band.styles import STYLES

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
MIX = "mixture"
VERSE_SECONDS = 15
QUIET_DB = -10.0

Stems = Mapping[str, np.ndarray]
SUNG = ("sung", "one verse")
INSTRUMENTAL = ("without its voice", "with a lead instrument")


def rendered(count: int, seconds: float, first: int, rate: int) -> Iterator[tuple[str, dict[str, Stems]]]:
    """Songs of the demo's band, each with a singer and with what plays in the singer's place."""
    styles = list(STYLES)
    for k in range(count):
        sung, played = (play(first + k, styles[k % len(styles)], voice, seconds) for voice in (True, False))
        yield (
            f"{styles[k % len(styles)]} {first + k}",
            kinds(at_rate(sung.stems, sung.rate, rate), rate)
            | {"with a lead instrument": at_rate(played.stems, played.rate, rate)},
        )


def recorded(folder: Path, rate: int, most: int) -> Iterator[tuple[str, dict[str, Stems]]]:
    """Songs of a multitrack folder, one after the other."""
    for song in sorted(path for path in folder.iterdir() if path.is_dir())[: most or None]:
        files = [file for file in sorted(song.iterdir()) if file.suffix.lower() in SUFFIXES and file.stem != MIX]
        sounds = {file.stem.lower(): read_audio(file).stereo().resample(rate).samples for file in files}
        if sounds:
            length = max(wave.shape[1] for wave in sounds.values())
            stems = {name: np.pad(wave, ((0, 0), (0, length - wave.shape[1]))) for name, wave in sounds.items()}
            yield song.name, kinds(stems, rate)


def at_rate(stems: Stems, rate: int, wanted: int) -> dict[str, np.ndarray]:
    return {name: Audio(wave, rate).resample(wanted).samples for name, wave in stems.items()}


def kinds(stems: Stems, rate: int) -> dict[str, Stems]:
    """A song in its kinds, by name."""
    band = {name: wave for name, wave in stems.items() if name != VOCALS}
    voice = stems.get(VOCALS)
    if voice is None or not voice.any():
        return {"without its voice": band}
    return {
        "without its voice": band,
        "sung": stems,
        "one verse": band | {VOCALS: verse(voice, rate)},
        "quiet voice": band | {VOCALS: np.float32(10 ** (QUIET_DB / 20)) * voice},
    }


def verse(voice: np.ndarray, rate: int) -> np.ndarray:
    """The 15 seconds in which most is sung, and silence around them."""
    power = np.add.reduceat(np.square(voice).sum(0), np.arange(0, voice.shape[1], rate))
    start = int(np.argmax(np.convolve(power, np.ones(min(VERSE_SECONDS, len(power))), "valid"))) * rate
    alone = np.zeros_like(voice)
    alone[:, start : start + VERSE_SECONDS * rate] = voice[:, start : start + VERSE_SECONDS * rate]
    return alone


def scores_of(separator: Separator, stems: Stems, given: bool) -> tuple[float, float]:
    """The score of a probe, and that of the whole song."""
    mix = np.stack(list(stems.values())).sum(0)
    if given:
        whole = vocal_score(mix, stems, separator.sample_rate)
        return whole, whole
    [probe] = separator.listen([mix])
    [separated] = separator.separate([mix], [probe])
    return probe.score, vocal_score(mix, separated, separator.sample_rate)


def summary(found: Mapping[str, list[tuple[float, float]]], also: list[float]) -> Table:
    """Scores by kind, and what each threshold makes of them."""
    whole = {kind: [score for _, score in pairs] for kind, pairs in found.items()}
    low = [score for kind in INSTRUMENTAL for score in whole.get(kind, [])]
    high = [score for kind in SUNG for score in whole.get(kind, [])]
    best, _ = best_threshold(low, high)
    thresholds = list(dict.fromkeys((best, *also)))
    above = (f"above {value:.3f}" for value in thresholds)
    table = Table("", "songs", "lowest", "median", "highest", *above, "early")
    for kind, scores in whole.items():
        counts = [f"{sum(score > value for score in scores)}" for value in thresholds]
        early = sum(probe > best for probe, _ in found[kind])
        spread = [f"{value:.3f}" for value in (min(scores), float(np.median(scores)), max(scores))]
        table.add_row(kind, f"{len(scores)}", *spread, *counts, f"{early}")
    table.add_section()
    for what, scores, wrong in (
        ("sung or a verse, taken for instrumental", high, lambda score, value: score <= value),
        ("instrumental, taken for sung", low, lambda score, value: score > value),
    ):
        shares = [sum(wrong(score, value) for score in scores) / max(1, len(scores)) for value in thresholds]
        table.add_row(what, f"{len(scores)}", "", "", "", *(f"{share:.1%}" for share in shares), "")
    table.title = f"The best threshold is {best:.3f}; 'early': above it for a probe already"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--separator", required=True, help="directory, or the name of a released one")
    parser.add_argument("--songs", type=Path, help="multitrack folder; without one, songs are rendered")
    parser.add_argument("--most", type=int, default=0, help="songs of the folder at most; 0: all")
    parser.add_argument("--rendered", type=int, default=12, help="songs to render")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of those")
    parser.add_argument("--seed", type=int, default=5000, help="of the first of those")
    parser.add_argument("--given", action="store_true", help="score the known stems, and separate nothing")
    parser.add_argument("--also", type=float, nargs="*", default=[DEFAULT_THRESHOLD], help="other thresholds to try")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    separator, console = Separator.load(arguments.separator, device=arguments.device), Console()
    songs = (
        recorded(arguments.songs, separator.sample_rate, arguments.most)
        if arguments.songs
        else rendered(arguments.rendered, arguments.seconds, arguments.seed, separator.sample_rate)
    )
    found: dict[str, list[tuple[float, float]]] = {}
    began = time.perf_counter()
    for name, by_kind in songs:
        for kind, stems in by_kind.items():
            found.setdefault(kind, []).append(scores_of(separator, stems, arguments.given))
        said = ", ".join(f"{kind} {found[kind][-1][1]:.3f}" for kind in by_kind)
        console.print(f"{name}: {said}", style="dim")
    if not found:
        raise SystemExit(f"There are no songs in '{arguments.songs}': lay them out as song/vocals.wav.")
    console.print(summary(found, arguments.also))
    console.print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
