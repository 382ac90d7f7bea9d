"""The decoding engine against transformers' MusicGen, and against memory: `python -m benchmarks.decode`.

Layers of a preset, random weights, guidance 3, sampling among 250, the same threads, one process, on a CPU or with
`--device cuda`. The two take turns, and ratios are taken turn by turn; transformers runs in the precision that is
faster for it here.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.musicgen import CODES, TEXT_DIM, WORDS, musicgen, peer, wait
from benchmarks.turns import compare, seconds
from models.codec.codec import build_codec
from models.codec.stream import StreamDecoder
from models.errors import StemsError
from models.interchange.musicgen import transformer_from_musicgen
from models.lm.delay import delay_codes
from models.lm.engine.attention import ChunkAttention
from models.lm.engine.engine import Engine
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.plan import EnginePlan, plan_engine
from models.lm.engine.request import Request
from models.lm.engine.roofline import memory_bandwidth, step_seconds
from models.lm.engine.rows import Rows
from models.lm.engine.weights import Precision
from models.lm.grid import Grid
from models.lm.language_model import StemLM
from models.lm.sampling import Sampling
from models.lm.transformer import Condition, StemTransformer
from models.presets import CODEC_SIZES
from models.stems import MUSICGEN

RATE = 50
PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("float32", "bfloat16", "int8"),
    "cuda": ("float32", "bfloat16"),
}
"""Of each device, the fastest last."""

LARGEST_READ = {"cpu": 2**29, "cuda": 2**33}
"""Bytes that are read to measure the memory."""

console = Console(width=118)


def device_of(model: StemTransformer) -> torch.device:
    return model.heads.weight.device


def condition(device: torch.device) -> Condition:
    words = torch.randn(1, WORDS, TEXT_DIM, device=device)
    return Condition.of(words, torch.ones(1, WORDS, dtype=torch.bool, device=device))


def plan(model: StemTransformer, slots: int, precision: Precision, frames: int) -> EnginePlan:
    return plan_engine(
        model.size,
        MUSICGEN.delays,
        max(frames, 30),
        WORDS,
        longest=frames,
        slots=slots,
        precision=precision,
        device=device_of(model),
    )


def engine(model: StemTransformer, slots: int, precision: Precision, frames: int) -> Engine:
    return Engine(model, MUSICGEN.delays, plan(model, slots, precision, frames))


def ours(engine: Engine, frames: int, requests: int) -> Callable[[], object]:
    asked = [Request(Grid.blank(4, frames), words, Sampling(seed=seed)) for seed, words in texts(engine, requests)]
    return lambda: engine.run(asked)


def texts(engine: Engine, requests: int) -> Iterator[tuple[int, Condition]]:
    return ((seed, condition(engine.device)) for seed in range(requests))


def against_transformers(theirs: Any, model: StemTransformer, frames: int, turns: int, concurrent: int) -> None:
    """Frames a second, alone and together, each in its best precision."""
    table = Table("requests", "here (frames/s)", "transformers (frames/s)", "times faster", title="Generation")
    fastest = PRECISIONS[device_of(model).type][-1]
    peer(theirs, 2, 1)()
    one = seconds(peer(theirs, 10, 1))
    theirs.bfloat16()
    best = "bfloat16" if seconds(peer(theirs, 10, 1)) < one else "float32"
    theirs.to(getattr(torch, best))
    console.print(f"transformers runs in {best}, the engine in {fastest}")
    alone = peer(theirs, frames, 1)
    single, crowd = (engine(model, slots, fastest, frames) for slots in (1, concurrent))
    took = compare(ours(single, frames, 1), alone, turns)
    table.add_row("1", f"{frames / took.ours:.1f}", f"{frames / took.theirs:.1f}", f"{took.ratio:.2f}")
    took = compare(ours(crowd, frames, concurrent), alone, turns)
    all_frames = concurrent * frames
    row = f"{all_frames / took.ours:.1f}", f"{frames / took.theirs:.1f}", f"{concurrent * took.ratio:.2f}"
    table.add_row(f"{concurrent} here, 1 there", *row)
    took = compare(ours(crowd, frames, concurrent), peer(theirs, frames, concurrent), max(1, turns // 2))
    row = f"{all_frames / took.ours:.1f}", f"{all_frames / took.theirs:.1f}", f"{took.ratio:.2f}"
    table.add_row(f"{concurrent} in one batch", *row)
    console.print(table)


def step_times(engine: Engine, requests: int, steps: int) -> list[float]:
    """Seconds of each of so many steps of requests that go side by side."""
    for seed, words in texts(engine, requests):
        engine.submit(Request(Grid.blank(4, steps), words, Sampling(seed=seed)))
    taken = []
    while engine.waiting or engine.running:
        began = time.perf_counter()
        engine.step()
        wait(engine.device)
        taken.append(time.perf_counter() - began)
    return taken[:steps]


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def roofline(model: StemTransformer, frames: int, slots: tuple[int, ...], precisions: tuple[Precision, ...]) -> None:
    """Step times in each precision, and how much of the memory's bandwidth they use."""
    device = device_of(model)
    bandwidth = memory_bandwidth(device, LARGEST_READ[device.type])
    title = f"A step, and its share of the roofline at {bandwidth / 1e9:.1f} GB/s"
    table = Table("precision", "requests", "ms a step", "least ms", "share", "× real time", title=title)
    for precision in precisions:
        for count in slots:
            if device.type == "cpu" and precision == "bfloat16" and count > 1:
                continue  # without instructions for it, it is slow enough at one
            try:
                made = engine(model, count, precision, frames)
            except StemsError as error:
                table.add_row(precision, str(count), str(error))
                continue
            step = median(step_times(made, count, frames))
            least = step_seconds(made.plan, bandwidth, requests=count, filled=frames // 2)
            figures = f"{1e3 * step:.2f}", f"{1e3 * least:.2f}", f"{least / step:.0%}", f"{count / step / RATE:.1f}"
            table.add_row(precision, str(count), *figures)
            del made
            free_memory()
    console.print(table)


def first_audio(model: StemTransformer, frames: int) -> None:
    """From a request to half a second of sound, through a codec of the paper's size."""
    device = device_of(model)
    codec = build_codec(CODEC_SIZES["paper"], 4).to(device).eval()
    made = engine(model, 1, PRECISIONS[device.type][-1], frames)
    asked = Request(Grid.blank(4, frames), condition(device), Sampling(seed=1))

    def hear() -> None:
        stream, sound = StreamDecoder(codec), 0
        playing = made.generate([asked])
        while sound < codec.sample_rate // 2:
            sound += len(stream.push(next(playing).codes))
        playing.close()

    hear()
    console.print(f"from a request to half a second of its sound: {median([seconds(hear) for _ in range(5)]):.2f} s")


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def agreement(title: str, model: StemTransformer, tokens: torch.Tensor, text: Condition | None) -> None:
    """What a cheaper precision does to the distribution of the next token."""
    table = Table("precision", "KL from float32 (nats)", "same likeliest token", title=f"Next tokens, {title}")
    exact = _logits(model, "float32", tokens, text).log_softmax(-1)
    for precision in PRECISIONS[device_of(model).type][1:]:
        cheap = _logits(model, precision, tokens, text).log_softmax(-1)
        divergence = (exact.exp() * (exact - cheap)).sum(-1).mean()
        same = (exact.argmax(-1) == cheap.argmax(-1)).float().mean()
        table.add_row(precision, f"{divergence:.2e}", f"{same:.1%}")
    console.print(table)


@torch.inference_mode()
def _logits(
    model: StemTransformer, precision: Precision, tokens: torch.Tensor, text: Condition | None
) -> torch.Tensor:
    streams, steps = tokens.shape
    made = plan_engine(
        model.size,
        (0,) * streams,
        steps,
        300,
        longest=steps,
        slots=1,
        precision=precision,
        device=device_of(model),
    )
    network = DecodingNetwork(model, precision, made.shape.steps)
    device = device_of(model)
    rows = Rows(1, made.shape, made.dtype, device)
    states = network.text(text) if text else []
    rows.admit((0,), Sampling(), states)
    x = network.embed(tokens.T, torch.arange(steps, device=device))
    past = ChunkAttention(rows, (0,), 0, steps, states[0][0].shape[1] if states else 0)
    return network.logits(network.forward(x, past))


def trained_agreement(directory: Path) -> None:
    """The same of a trained model, on songs that it writes itself."""
    lm = StemLM.load(directory / "lm")
    [text] = lm.conditions(["a tight funk groove"])
    request = Request(Grid.blank(lm.layout.streams, lm.config.segment_frames), text, Sampling(seed=1))
    [codes] = lm.engine(precision="float32").run([request])
    sequence = delay_codes(codes[None], lm.layout.delays, lm.special)[0]
    agreement(f"the trained model in {directory}", lm.transformer, sequence, text)


def plot(model: StemTransformer, slots: tuple[int, ...], file: Path) -> None:
    """Step time over position, and over requests."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fastest = PRECISIONS[device_of(model).type][-1]
    by_position = step_times(engine(model, 1, fastest, 1500), 1, 1500)
    by_slots = {}
    for count in slots:
        by_slots[count] = median(step_times(engine(model, count, fastest, 40), count, 40))
        free_memory()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot([1e3 * taken for taken in by_position], linewidth=0.8)
    left.set(xlabel="position (frames)", ylabel="ms a step", title=f"one request, {fastest}", ylim=0)
    right.plot(list(by_slots), [1e3 * taken for taken in by_slots.values()], marker="o")
    right.set(xlabel="requests", title=f"side by side, {fastest}", ylim=0, xlim=0)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small", help="whose layers to use")
    parser.add_argument("--device", choices=PRECISIONS, default="cpu")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--long", type=int, default=50, help="frames of the songs whose steps are timed")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--concurrent", type=int, default=8)
    parser.add_argument("--model", type=Path, help="a trained model, whose distributions are compared, too")
    parser.add_argument("--plot", type=Path, help="also plot step times over position and requests, into this file")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    console.print(f"{arguments.preset}, {torch.get_num_threads()} threads, {where}")
    with device:
        theirs = musicgen(arguments.preset)
    model = transformer_from_musicgen(theirs.decoder, theirs.enc_to_dec_proj).to(device)
    # Weights as training starts with them: those of transformers make every logit nearly zero.
    model.reset_parameters()
    agreement("random weights", model, torch.randint(CODES, (4, 64), device=device), condition(device))
    if arguments.model:
        trained_agreement(arguments.model)
    against_transformers(theirs, model, arguments.frames, arguments.turns, arguments.concurrent)
    del theirs
    free_memory()
    first_audio(model, 100)
    precisions = PRECISIONS[device.type]
    roofline(model, arguments.long, (1, arguments.concurrent), precisions)
    if arguments.plot:
        plot(model, (1, 2, 4, 8, 12, 16) if device.type == "cpu" else (1, 2, 4, 8, 16, 32, 64), arguments.plot)


if __name__ == "__main__":
    main()
