"""Training steps of the language model against transformers' MusicGen decoder, and the peak memory of each.

The small preset in MusicGen's layout, one example of 1,500 frames with 20 positions of text, random weights, fused
AdamW, the same threads. Each contender runs in a process of its own, for its peak memory, by turns; ratios are taken
within a turn. Where there is a GPU, also the model FLOPs utilisation of the medium preset in bfloat16.

Run ``python -m benchmarks.train`` on an idle machine; results belong in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.musicgen import CODES, decoder_config
from benchmarks.turns import seconds
from models.lm.delay import delay_codes
from models.lm.objective import stream_loss
from models.lm.transformer import Condition, StemTransformer, TransformerSize
from models.presets import LM_SIZES, LMSize
from models.stems import MUSICGEN
from pipelines.training.loop.parallel import computes_bfloat16

TEXT_DIM, TEXT_LENGTH, FRAMES = 768, 20, 1500
BFLOAT16 = computes_bfloat16(torch.device("cpu"))
PRECISIONS = {"float32": False} | ({"bfloat16": True} if BFLOAT16 else {})
"""Whether to autocast. A processor without instructions for bfloat16 is slower in it: there it is left out."""

PEAK_FLOPS = {"NVIDIA H100": 989e12, "NVIDIA H200": 989e12, "NVIDIA A100": 312e12}
"""Dense bfloat16 products a second, as the maker gives them."""

Step = Callable[[bool], None]


def ours(size: LMSize, batch: int, device: str) -> Step:
    """A training step of the model here."""
    model = StemTransformer(TransformerSize(MUSICGEN.streams, CODES, size.dim, size.heads, size.layers, TEXT_DIM)).to(
        device
    )
    codes, states = example(batch, device)
    condition = Condition.of(states, torch.ones(states.shape[:2], dtype=torch.bool, device=device))
    everywhere = torch.ones((batch, FRAMES), dtype=torch.bool, device=device)
    return step(model, lambda: stream_loss(model, codes, everywhere, condition, MUSICGEN.delays).mean)


def peer(size: LMSize, batch: int, device: str) -> Step:
    """A training step of transformers' decoder, with the projection of its text."""
    from transformers import MusicgenForCausalLM

    model = (
        nn.ModuleList([MusicgenForCausalLM(decoder_config(size)), nn.Linear(TEXT_DIM, size.dim)]).to(device).train()
    )
    codes, states = example(batch, device)
    sequence = delay_codes(codes, MUSICGEN.delays, CODES)[..., : FRAMES + 1]
    inputs = sequence[..., :-1].reshape(-1, FRAMES)
    labels = sequence[..., 1:].transpose(1, 2)
    labels = labels.masked_fill(labels == CODES, -100)

    def loss() -> Tensor:
        text = model[1](states)
        answer: Tensor = model[0](input_ids=inputs, encoder_hidden_states=text, labels=labels, use_cache=False).loss
        return answer

    return step(model, loss)


def example(batch: int, device: str) -> tuple[Tensor, Tensor]:
    """Codes and text states."""
    codes = torch.randint(CODES, (batch, MUSICGEN.streams, FRAMES), device=device)
    return codes, torch.randn(batch, TEXT_LENGTH, TEXT_DIM, device=device)


def step(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """Loss, gradient and update; the argument asks for bfloat16 autocast."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    device = next(model.parameters()).device

    def take(bfloat16: bool) -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            value = loss()
        value.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return take


CONTENDERS = {"here": ours, "transformers": peer}


def contend(name: str, layers: int, steps: int) -> None:
    """One contender's turn, in this process: the median seconds of a step and the peak memory, as JSON."""
    torch.manual_seed(0)
    size = LM_SIZES["small"]
    take = CONTENDERS[name](LMSize(size.dim, size.heads, layers, size.segment_seconds, size.text), 1, "cpu")
    result = {}
    for precision, bfloat16 in reversed(PRECISIONS.items()):
        take(bfloat16)
        result[precision] = statistics.median(seconds(partial(take, bfloat16)) for _ in range(steps))
        # The peak only rises, so the second precision's is that of both.
        result[f"{precision} GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(result))


def compare(layers: int, turns: int, steps: int) -> None:
    """Let the contenders take turns, and print the table."""
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(turns):
        for name in CONTENDERS:
            command = [
                sys.executable,
                "-m",
                "benchmarks.train",
                "--contend",
                name,
                "--layers",
                str(layers),
                "--steps",
                str(steps),
            ]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            results[name].append(json.loads(answer.splitlines()[-1]))
    title = f"{layers} layers of {LM_SIZES['small'].dim}, {FRAMES} frames, {torch.get_num_threads()} threads"
    table = Table("", "seconds a step", "steps a second", "GiB at peak", title=title)
    for name, turns_taken in results.items():
        for precision in PRECISIONS:
            took = statistics.median(turn[precision] for turn in turns_taken)
            peak = max(turn[f"{precision} GiB"] for turn in turns_taken)
            table.add_row(f"{name}, {precision}", f"{took:.2f}", f"{1 / took:.3f}", f"{peak:.1f}")
    console = Console()
    console.print(table)
    pairs = [("float32", "float32")] + ([("bfloat16", "float32"), ("bfloat16", "bfloat16")] if BFLOAT16 else [])
    for mine, theirs in pairs:
        taken = zip(results["here"], results["transformers"], strict=True)
        ratio = statistics.median(b[theirs] / a[mine] for a, b in taken)
        console.print(f"here in {mine} against transformers in {theirs}: {ratio:.2f} times as fast")


def utilisation(batch: int, steps: int) -> None:
    """Model FLOPs utilisation of the medium preset in bfloat16 on a GPU: products of the model, none recomputed."""
    name = torch.cuda.get_device_name()
    peak = next((flops for device, flops in PEAK_FLOPS.items() if name.startswith(device)), None)
    size = LM_SIZES["medium"]
    take = ours(size, batch, "cuda")
    take(True)
    took = statistics.median(seconds(partial(take, True)) for _ in range(steps))
    # Products a step and layer: 12 dim² of self-attention and feed-forward, 2 dim² of cross-attention.
    weights = size.layers * 14 * size.dim**2 + size.dim * CODES * MUSICGEN.streams
    attention = size.layers * size.dim * FRAMES  # scores and mix, half of them masked
    flops = 6 * (weights + attention) * FRAMES * batch
    share = "unknown device" if peak is None else f"{flops / took / peak:.1%} of {peak / 1e12:.0f} TFLOPS"
    Console().print(f"medium, bfloat16, batch {batch}, {name}: {took:.3f} s a step, {share}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=LM_SIZES["small"].layers)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16, help="examples a step on a GPU")
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        contend(options.contend, options.layers, options.steps)
        return
    compare(options.layers, options.turns, options.steps)
    if torch.cuda.is_available():
        utilisation(options.batch, 10 * options.steps)


if __name__ == "__main__":
    main()
