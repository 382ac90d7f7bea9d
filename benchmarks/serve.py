"""The service against the same model served as Ray Serve's documentation shows: `python -m benchmarks.serve`.

Clients in a closed loop: each asks for its next song as soon as it has the last. Lengths are drawn once and are the
same for all. One service runs at a time, on a Ray of its own; all have the same weights, precision, threads and
reservation of cores, and the largest batch is as large as the service has slots. Every client ends up with the mix
as a WAV file.

First audio is when a client has sound of every stem that it could play. The service streams it; the others answer
with the whole song. The model has random weights; its codecs are small, so that the language model is what is
measured.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.serve_clients import (
    LAYOUT,
    LONGEST,
    SHORTEST,
    Client,
    Outcome,
    ask_peer,
    ask_service,
    closed_loop,
    draw,
)
from benchmarks.serve_peers import batched, one_a_call
from models.audio.files import read_audio
from models.codec.codec import build_codec
from models.codec.quantizer import start_codebooks
from models.codec.size import CodecSize
from models.lm.engine.weights import Precision, best_precision
from models.lm.language_model import LMConfig, StemLM
from models.lm.text import TextConfig
from models.song.model_directory import write_about
from pipelines.evaluation.sdr import si_sdr
from serving.app import start
from serving.config import ServeConfig

CODEC = CodecSize(filters=2, latent=8, cardinality=2048, lstm_layers=1)
GOALS = {"one a call": 3.0, "@serve.batch": 1.5}
SOONER = 5.0
"""At the most clients: times the throughput of each peer, and how many times sooner the first audio."""

_QUIET_S = 3.0
console = Console(width=118)

Served = Callable[[Path, argparse.Namespace], AbstractContextManager[str]]


def write_model(folder: Path, dim: int, layers: int) -> None:
    """A language model and three codecs."""
    torch.manual_seed(0)
    config = LMConfig(
        layout=LAYOUT,
        cardinality=CODEC.cardinality,
        dim=dim,
        heads=dim // 32 if dim < 512 else dim // 64,
        layers=layers,
        segment_frames=round(LONGEST * CODEC.frame_rate),
        text=TextConfig(kind="bytes", dim=64),
    )
    StemLM(config).save(folder / "lm")
    for stem in LAYOUT.stems:
        codec = build_codec(CODEC, stem.codebooks)
        start_codebooks(codec.network.quantizer, codec.latent(0.1 * torch.randn(8, 1, 6 * CODEC.sample_rate)), seed=0)
        codec.save(folder / "codecs" / stem.name)
    write_about(folder, LONGEST)


def measure(url: str, client: Client, arguments: argparse.Namespace) -> dict[int, Outcome]:
    """One service that is up: warmed up, and then with few clients and with many."""
    most = max(arguments.clients)
    short = [ask._replace(seconds=SHORTEST) for ask in draw(most, seed=1)]
    asyncio.run(closed_loop(url, client, short, most))
    outcomes = {}
    for clients in arguments.clients:
        asks = draw(max(arguments.least, arguments.each * clients), seed=0)
        outcomes[clients] = asyncio.run(closed_loop(url, client, asks, clients))
        check(outcomes[clients])
        console.print(f"  {clients} at once: {outcomes[clients].rate:.2f} seconds of music a second")
    return outcomes


def check(outcome: Outcome) -> None:
    """Every song is there, and as long as it was asked for."""
    for heard in outcome.heard:
        seconds = read_audio(heard.wav).seconds
        if abs(seconds - heard.ask.seconds) > 1 / CODEC.frame_rate or not heard.first:
            raise RuntimeError(f"{heard.ask} came as {seconds:g} s, its first sound after {heard.first:g} s.")


@contextmanager
def service(folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """The service, with slots for all clients."""
    from ray import serve

    with tempfile.TemporaryDirectory() as kept:
        config = ServeConfig(
            model=str(folder),
            port=free_port(),
            slots=arguments.slots,
            precision=arguments.precision,
            cpus_per_replica=arguments.cpus,
            requests_per_minute=1_000_000,
            state=f"sqlite:///{kept}/state.db",
            results=f"{kept}/results",
            drain_seconds=5,
        )
        yield start(config)
        serve.shutdown()


@contextmanager
def peer(folder: Path, arguments: argparse.Namespace, *, size: int = 1, padded: bool = False) -> Iterator[str]:
    """One of the peers; with a size, in batches."""
    from ray import serve

    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    given = str(folder), arguments.precision, arguments.cpus
    serve.run(one_a_call(*given) if size == 1 else batched(*given, size, padded=padded))
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tell(results: dict[str, dict[int, Outcome]]) -> None:
    """All figures, and what they are to the goals."""
    names = list(results)
    table = Table("clients", "service", "music s/s", "songs/min", "first audio p50", "p95", "whole song p50", "p95")
    for clients in results[names[0]]:
        for name in names:
            outcome = results[name][clients]
            table.add_row(
                str(clients),
                name,
                f"{outcome.rate:.2f}",
                f"{outcome.songs_a_minute:.1f}",
                *(f"{seconds:.2f} s" for seconds in (outcome.first(0.5), outcome.first(0.95))),
                *(f"{seconds:.2f} s" for seconds in (outcome.whole(0.5), outcome.whole(0.95))),
            )
        table.add_section()
    console.print(table)
    most = max(results[names[0]])
    table = Table("clients", "against", "times the throughput", "times sooner the first audio (p50)", "(p95)")
    for clients in results[names[0]]:
        ours = results[names[0]][clients]
        for name in names[1:]:
            theirs = results[name][clients]
            goals = (GOALS[name], SOONER) if clients == most and name in GOALS else (0.0, 0.0)
            faster, sooner = theirs_and_goal(ours.rate / theirs.rate, goals[0]), theirs.first(0.5) / ours.first(0.5)
            late = theirs.first(0.95) / ours.first(0.95)
            table.add_row(str(clients), name, faster, theirs_and_goal(sooner, goals[1]), f"{late:.2f}")
        table.add_section()
    console.print(table)


def theirs_and_goal(ratio: float, goal: float) -> str:
    if not goal:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} (goal {goal:g}: {'reached' if ratio >= goal else 'missed'})"


def agreement(ours: Outcome, theirs: Outcome) -> float:
    """How far songs of the same seed are the same, from any engine: the median SI-SDR in dB."""
    sounds = [{heard.ask: read_audio(heard.wav).samples for heard in outcome.heard} for outcome in (ours, theirs)]
    return float(np.median([si_sdr(sounds[1][ask][0], sounds[0][ask][0]) for ask in sounds[0]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--precision", choices=("float32", "bfloat16", "int8"), help="as the model's size asks for")
    parser.add_argument("--cpus", type=int, default=2, help="cores that the model reserves, and its threads")
    parser.add_argument("--slots", type=int, default=16, help="songs at once, and the largest batch")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--each", type=int, default=4, help="songs for each client")
    parser.add_argument("--least", type=int, default=16, help="songs at least")
    arguments = parser.parse_args()
    # For every process alike, whatever it does beside.
    os.environ |= {"OMP_NUM_THREADS": str(arguments.cpus), "RAY_USAGE_STATS_ENABLED": "0"}
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    import ray

    ray.init(
        "local",
        num_cpus=max(2, arguments.cpus),
        object_store_memory=200 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    began = time.perf_counter()
    precision: Precision = arguments.precision or best_precision(torch.device("cpu"), arguments.dim)
    console.print(
        f"{arguments.layers} layers of {arguments.dim} in {precision}, codecs of {CODEC.filters} filters; songs of "
        f"{SHORTEST:g} to {LONGEST:g} s; {arguments.cpus} threads; {arguments.slots} slots, batches of as many"
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        folder.mkdir()
        write_model(folder, arguments.dim, arguments.layers)
        contenders: dict[str, tuple[Client, Served]] = {
            "here": (ask_service, service),
            "one a call": (ask_peer, peer),
            "@serve.batch": (ask_peer, partial(peer, size=arguments.slots)),
            "@serve.batch, padded": (ask_peer, partial(peer, size=arguments.slots, padded=True)),
        }
        results = {}
        for name, (client, served) in contenders.items():
            with served(folder, arguments) as url:
                busy, load = psutil.cpu_percent(_QUIET_S), os.getloadavg()[0]
                console.print(
                    f"{name}: up; before it is asked, the processors are {busy:.0f} % busy, load {load:.1f}"
                )
                results[name] = measure(url, client, arguments)
    ray.shutdown()
    tell(results)
    most = max(arguments.clients)
    same = agreement(results["here"][most], results["one a call"][most])
    console.print(
        f"the same seed, here and one a call: SI-SDR {same:.0f} dB; {time.perf_counter() - began:.0f} s in all"
    )


if __name__ == "__main__":
    main()
