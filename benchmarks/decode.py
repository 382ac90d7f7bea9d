"""The decoding engine against transformers' MusicGen, and against memory: `python -m benchmarks.decode`.

Layers of the small preset, random weights, guidance 3, sampling among 250, the same threads, one process. The two
take turns, and ratios are taken turn by turn; transformers runs in the precision that is faster for it here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.turns import compare, seconds
from models.delay import delay_codes
from models.interchange.musicgen import transformer_from_musicgen
from models.lm.engine.attention import ChunkAttention
from models.lm.engine.engine import Engine
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.plan import EnginePlan, plan_engine
from models.lm.engine.request import Request
from models.lm.engine.roofline import memory_bandwidth, step_seconds
from models.lm.engine.slots import Rows
from models.lm.engine.weights import Precision
from models.lm.grid import Grid
from models.lm.language_model import StemLM
from models.lm.sampling import Sampling
from models.lm.transformer import Condition, StemTransformer
from models.presets import LM_SIZES
from models.stems import MUSICGEN

CODES, TEXT_DIM, WORDS = 2048, 64, 12
CPU = torch.device("cpu")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
console = Console(width=118)


def musicgen(preset: str) -> Any:
    """A random MusicGen with a small text encoder and a small codec, so that the decoder is what is measured."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    size = LM_SIZES[preset]
    decoder = MusicgenDecoderConfig(
        vocab_size=CODES,
        num_hidden_layers=size.layers,
        hidden_size=size.dim,
        ffn_dim=4 * size.dim,
        num_attention_heads=size.heads,
        dropout=0.0,
    )
    text = T5Config(d_model=TEXT_DIM, d_ff=64, d_kv=16, num_layers=1, num_heads=4, vocab_size=50)
    codec = EncodecConfig(
        sampling_rate=32_000,
        target_bandwidths=[2.2],
        num_filters=2,
        hidden_size=8,
        codebook_size=CODES,
        upsampling_ratios=[8, 5, 4, 4],
        num_lstm_layers=1,
    )
    config = MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder)
    return MusicgenForConditionalGeneration(config).eval()


def peer(theirs: Any, frames: int, requests: int) -> Callable[[], None]:
    """Transformers' own generation of so many requests in one batch."""
    tokens = torch.randint(2, 50, (requests, WORDS))

    def work() -> None:
        theirs.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            guidance_scale=3.0,
            do_sample=True,
            top_k=250,
            max_new_tokens=frames + 3,
            decoder_start_token_id=CODES,
            pad_token_id=CODES,
        )

    return work


def condition() -> Condition:
    return Condition.of(torch.randn(1, WORDS, TEXT_DIM), torch.ones(1, WORDS, dtype=torch.bool))


def plan(model: StemTransformer, slots: int, precision: Precision, frames: int) -> EnginePlan:
    return plan_engine(
        model.size,
        MUSICGEN.delays,
        max(frames, 30),
        WORDS,
        longest=frames,
        slots=slots,
        precision=precision,
        device=CPU,
    )


def engine(model: StemTransformer, slots: int, precision: Precision, frames: int) -> Engine:
    return Engine(model, MUSICGEN.delays, plan(model, slots, precision, frames))


def ours(engine: Engine, frames: int, requests: int) -> Callable[[], object]:
    asked = [Request(Grid.blank(4, frames), condition(), Sampling(seed=seed)) for seed in range(requests)]
    return lambda: engine.run(asked)


def against_transformers(theirs: Any, model: StemTransformer, frames: int, turns: int, concurrent: int) -> None:
    """Frames a second, alone and together, each in its best precision."""
    table = Table("requests", "here (frames/s)", "transformers (frames/s)", "times faster", title="Generation")
    one = seconds(peer(theirs, 10, 1))
    theirs.bfloat16()
    best = "bfloat16" if seconds(peer(theirs, 10, 1)) < one else "float32"
    theirs.to(getattr(torch, best))
    console.print(f"transformers runs in {best}, the engine in int8")
    alone = peer(theirs, frames, 1)
    single, crowd = (engine(model, slots, "int8", frames) for slots in (1, concurrent))
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
    for seed in range(requests):
        engine.submit(Request(Grid.blank(4, steps), condition(), Sampling(seed=seed)))
    taken = []
    while engine.waiting or engine.running:
        began = time.perf_counter()
        engine.step()
        taken.append(time.perf_counter() - began)
    return taken[:steps]


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def roofline(model: StemTransformer, frames: int, slots: tuple[int, ...]) -> dict[str, dict[int, float]]:
    """Step times in each precision, and how much of the memory's bandwidth they use."""
    bandwidth = memory_bandwidth(CPU)
    title = f"A step, and its share of the roofline at {bandwidth / 1e9:.1f} GB/s"
    table = Table("precision", "requests", "ms a step", "least ms", "share", title=title)
    took: dict[str, dict[int, float]] = {}
    for precision in PRECISIONS:
        for count in slots:
            if precision == "bfloat16" and count > 1:
                continue  # without instructions for it, it is slow enough at one
            made = engine(model, count, precision, frames)
            step = median(step_times(made, count, frames))
            least = step_seconds(made.plan, bandwidth, requests=count, filled=frames // 2)
            table.add_row(precision, str(count), f"{1e3 * step:.1f}", f"{1e3 * least:.1f}", f"{least / step:.0%}")
            took.setdefault(precision, {})[count] = step
            del made
    console.print(table)
    return took


def agreement(title: str, model: StemTransformer, tokens: torch.Tensor, text: Condition | None) -> None:
    """What a cheaper precision does to the distribution of the next token."""
    table = Table("precision", "KL from float32 (nats)", "same likeliest token", title=f"Next tokens, {title}")
    exact = _logits(model, "float32", tokens, text).log_softmax(-1)
    for precision in PRECISIONS[1:]:
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
        model.size, (0,) * streams, steps, 300, longest=steps, slots=1, precision=precision, device=CPU
    )
    network = DecodingNetwork(model, precision, made.shape.steps)
    rows = Rows(1, made.shape, made.dtype, CPU)
    states = network.text(text) if text else []
    rows.seat((0,), Sampling(), states)
    x = network.embed(tokens.T, torch.arange(steps))
    past = ChunkAttention(rows, (0,), 0, steps, states[0][0].shape[1] if states else 0)
    return network.logits(network.through(x, past))


def trained_agreement(directory: Path) -> None:
    """The same of a trained model, on songs that it writes itself."""
    lm = StemLM.load(directory / "lm")
    [text] = lm.conditions(["a tight funk groove"])
    request = Request(Grid.blank(lm.layout.streams, lm.config.segment_frames), text, Sampling(seed=1))
    [codes] = lm.engine(precision="float32").run([request])
    sequence = delay_codes(codes[None], lm.layout.delays, lm.special)[0]
    agreement(f"the trained model in {directory}", lm.transformer, sequence, text)


def plot(by_position: list[float], by_slots: dict[int, float], file: Path) -> None:
    """Step time over position, and over requests."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot([1e3 * taken for taken in by_position], linewidth=0.8)
    left.set(xlabel="position (frames)", ylabel="ms a step", title="one request, int8", ylim=0)
    right.plot(list(by_slots), [1e3 * taken for taken in by_slots.values()], marker="o")
    right.set(xlabel="requests", title="side by side, int8", ylim=0, xlim=0)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small", help="whose layers to use")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--concurrent", type=int, default=8)
    parser.add_argument("--model", type=Path, help="a trained model, whose distributions are compared, too")
    parser.add_argument("--plot", type=Path, help="also plot step times over position and requests, into this file")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    console.print(f"{arguments.preset}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    theirs = musicgen(arguments.preset)
    model = transformer_from_musicgen(theirs.decoder, theirs.enc_to_dec_proj)
    # Weights as training starts with them: those of transformers make every logit nearly zero.
    model.reset_parameters()
    agreement("random weights", model, torch.randint(CODES, (4, 64)), condition())
    if arguments.model:
        trained_agreement(arguments.model)
    against_transformers(theirs, model, arguments.frames, arguments.turns, arguments.concurrent)
    del theirs
    roofline(model, arguments.frames, (1, arguments.concurrent))
    if arguments.plot:
        positions = step_times(engine(model, 1, "int8", 1500), 1, 1500)
        slots = {n: median(step_times(engine(model, n, "int8", 40), n, 40)) for n in (1, 2, 4, 8, 12, 16)}
        plot(positions, slots, arguments.plot)


if __name__ == "__main__":
    main()
