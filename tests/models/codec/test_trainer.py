"""Codec and discriminator learn from one scalar, each from its own losses, on any number of workers."""

from __future__ import annotations

from pathlib import Path

import helpers.processes  # noqa: F401 - what is forked has imported torch
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.codec import CodecSize, build_codec
from models.codec.discriminator import DiscriminatorSize, discriminator_loss
from models.codec.losses import LossWeights
from models.codec.quantizer import all_workers, start_codebooks, update_codebooks
from models.codec.trainer import CodecTrainer

SIZE = CodecSize(filters=2, latent=4, cardinality=8, lstm_layers=1)
JUDGE = DiscriminatorSize(filters=2, windows=(256, 128))
BATCHES = (5, 4)
"""One that two workers cannot share evenly, and one that they can."""


def new_trainer(adversarial: float = 4.0) -> CodecTrainer:
    torch.manual_seed(0)
    return CodecTrainer(build_codec(SIZE, 2), LossWeights(adversarial=adversarial), JUDGE)


def sounds(batch: int, seed: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(batch, 1, 3200, generator=random) * torch.rand(batch, 1, 1, generator=random)


def gradients(module: nn.Module) -> list[Tensor]:
    found = [parameter.grad for parameter in module.parameters()]
    assert all(gradient is not None for gradient in found)
    return [gradient.clone() for gradient in found if gradient is not None]


def test_the_discriminator_learns_from_its_own_loss_only() -> None:
    trainer, wav = new_trainer(), sounds(3)
    passed = trainer(wav)
    passed.loss.backward()
    together = gradients(trainer.discriminator)  # type: ignore[arg-type]
    trainer.zero_grad()
    judge = trainer.discriminator
    assert judge is not None
    discriminator_loss(judge(wav), judge(passed.made.wav.detach())).backward()
    torch.testing.assert_close(together, gradients(judge))


def test_the_codec_learns_from_the_balanced_gradient_and_the_commitment_only() -> None:
    trainer, wav = new_trainer(), sounds(3)
    passed = trainer(wav)
    passed.loss.backward()
    together = gradients(trainer.codec)
    trainer.zero_grad()
    made = trainer.codec(wav)
    (8 * (made.wav * passed.balanced.gradient).sum() / 3 + made.commitment).backward()
    torch.testing.assert_close(together, gradients(trainer.codec))


def test_the_scalar_is_worth_the_weighted_sum_of_the_losses() -> None:
    passed = new_trainer()(sounds(3))
    part = {name: float(value) for name, value in passed.parts.items()}
    assert set(part) == {"adversarial", "feature", "mel", "wave", "commitment", "discriminator"}
    balanced = 4 * (part["adversarial"] + part["feature"]) + 2 * part["mel"] + 0.1 * part["wave"]
    assert float(passed.loss.detach()) == pytest.approx(balanced + part["commitment"] + part["discriminator"])


def test_without_adversarial_weight_there_is_no_discriminator() -> None:
    trainer = new_trainer(adversarial=0)
    passed = trainer(sounds(2))
    passed.loss.backward()
    assert set(passed.parts) == {"mel", "wave", "commitment"}
    assert {name.partition(".")[0] for name, _ in trainer.named_parameters()} == {"codec"}


def test_silence_has_finite_gradients() -> None:
    trainer = new_trainer()
    trainer(torch.zeros(2, 1, 3200)).loss.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(trainer))


def test_bfloat16_is_for_the_discriminator_alone() -> None:
    trainer, wav = new_trainer(), sounds(2)
    plain = trainer(wav)
    with torch.autocast("cpu", torch.bfloat16):
        passed = trainer(wav)
    assert torch.equal(passed.made.wav, plain.made.wav)
    assert torch.equal(passed.parts["mel"], plain.parts["mel"])
    assert passed.parts["adversarial"] != plain.parts["adversarial"]
    assert passed.parts["adversarial"] == pytest.approx(float(plain.parts["adversarial"]), rel=0.05)


def test_two_workers_learn_what_one_learns(tmp_path: Path) -> None:
    mp.start_processes(_learn_as_worker, args=(tmp_path,), nprocs=2, start_method="forkserver")
    for batch in BATCHES:
        alone = _learn(new_trainer(), batch, 0, 1)
        for rank in range(2):
            shared = torch.load(tmp_path / f"{batch}-{rank}.pt", weights_only=True)
            for name, value in alone.items():
                torch.testing.assert_close(shared[name], value, rtol=1e-5, atol=1e-5, msg=f"{batch}: {name}")


def _learn(trainer: CodecTrainer, batch: int, rank: int, world: int) -> dict[str, Tensor]:
    """Three steps as the training loop takes them; the state that they end in."""
    module = DistributedDataParallel(trainer, broadcast_buffers=False) if world > 1 else trainer
    learner = torch.optim.SGD(trainer.parameters(), lr=1e-3)
    books = trainer.codec.network.quantizer
    for step in range(3):
        wav = sounds(batch, seed=step)[rank::world]
        if step == 0:
            with torch.no_grad():
                latents = [trainer.codec.latent(sounds(batch, seed)[rank::world]) for seed in range(2)]
            start_codebooks(books, torch.cat([all_workers(latent) for latent in latents]), seed=2)
            trainer.balancer.update([trainer(wav).balanced])
        passed = module(wav)
        learner.zero_grad()
        (passed.loss * (len(wav) * world / batch)).backward()
        learner.step()
        update_codebooks(books, passed.made.latent, passed.made.codes, seed=2, step=step)
        trainer.balancer.update([passed.balanced])
    return trainer.state_dict()


def _learn_as_worker(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=rank, world_size=2)
    for batch in BATCHES:
        torch.save(_learn(new_trainer(), batch, rank, 2), folder / f"{batch}-{rank}.pt")
    dist.destroy_process_group()
