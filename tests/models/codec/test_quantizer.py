"""The trainable quantizer, on transformers' own buffers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.codec import CodecSize, build_codec
from models.codec.quantizer import QuantizerSettings, quantize, settle_codebooks, start_codebooks, update_codebooks

SIZE = CodecSize(filters=2, latent=4, cardinality=8, lstm_layers=1)


def new_quantizer(codebooks: int = 2) -> Any:
    torch.manual_seed(0)
    return build_codec(SIZE, codebooks).network.quantizer


def latents(seed: int = 1, batch: int = 4) -> torch.Tensor:
    """Vectors around eight centres."""
    random = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(8, 4, generator=torch.Generator().manual_seed(9))
    picks = torch.randint(8, (batch, 30), generator=random)
    return (centres[picks] + 0.1 * torch.randn(batch, 30, 4, generator=random)).transpose(1, 2)


def test_codes_and_vectors_are_those_of_transformers() -> None:
    quantizer, latent = new_quantizer(3), latents()
    vectors, codes, _ = quantize(quantizer, latent)
    assert torch.equal(codes, quantizer.encode(latent).transpose(0, 1))
    torch.testing.assert_close(vectors, quantizer.decode(codes.transpose(0, 1)))


def test_gradients_pass_straight_through() -> None:
    latent = latents().requires_grad_()
    vectors, _, _ = quantize(new_quantizer(), latent)
    weights = torch.randn_like(latent)
    (vectors * weights).sum().backward()
    assert latent.grad is not None
    torch.testing.assert_close(latent.grad, weights)


def test_commitment_pulls_latents_to_their_codes() -> None:
    quantizer, latent = new_quantizer(1), latents().requires_grad_()
    vectors, _, commitment = quantize(quantizer, latent)
    commitment.backward()
    assert latent.grad is not None
    expected = 2 * (latent - vectors).detach() / latent.numel()
    torch.testing.assert_close(latent.grad, expected)


def test_kmeans_finds_the_centres() -> None:
    quantizer, latent = new_quantizer(), latents(batch=16)
    before = quantize(quantizer, latent)[2]
    start_codebooks(quantizer, latent, seed=0)
    vectors, codes, after = quantize(quantizer, latent)
    assert after < before / 10
    assert codes[:, 0].unique().numel() >= 6
    assert (vectors - latent).square().mean() < 0.2
    assert all(layer.codebook.inited.item() == 1 for layer in quantizer.layers)


def test_codebooks_move_to_the_mean_of_what_chose_them() -> None:
    quantizer, latent = new_quantizer(1), latents()
    start_codebooks(quantizer, latent, seed=0)
    moved = latent + 0.05
    for step in range(400):
        codes = quantize(quantizer, moved)[1]
        update_codebooks(quantizer, moved, codes, seed=0, step=step)
    book, chosen = quantizer.layers[0].codebook, codes[:, 0].reshape(-1)
    flat = moved.transpose(1, 2).reshape(-1, 4)
    for code in chosen.unique():
        torch.testing.assert_close(book.embed[code], flat[chosen == code].mean(dim=0), rtol=0, atol=0.02)


def test_dead_codes_come_back_to_life() -> None:
    quantizer, latent = new_quantizer(1), latents()
    start_codebooks(quantizer, latent, seed=0)
    book = quantizer.layers[0].codebook
    book.embed[3] = book.embed_avg[3] = 100.0
    book.cluster_size[3] = 1.0
    settings = QuantizerSettings(decay=0.5)
    replaced = [
        int(update_codebooks(quantizer, latent, quantize(quantizer, latent)[1], seed=0, step=step, settings=settings))
        for step in range(8)
    ]
    assert 1 in replaced
    flat = latent.transpose(1, 2).reshape(-1, 4)
    assert torch.cdist(book.embed[3:4], flat).min() < 1.0


@pytest.mark.parametrize("scale", [0.0, 0.01, 100.0])
def test_codes_of_another_run_do_not_count_as_dead_for_its_batch_size(scale: float) -> None:
    quantizer, latent = new_quantizer(1), latents()
    start_codebooks(quantizer, latent, seed=0)
    book = quantizer.layers[0].codebook
    before = book.embed.clone()
    book.cluster_size *= scale
    book.embed_avg *= scale
    settle_codebooks(quantizer, 4 * 30)
    assert float(book.cluster_size.sum()) == pytest.approx(4 * 30)
    replaced = update_codebooks(quantizer, latent, quantize(quantizer, latent)[1], seed=0, step=0)
    assert replaced.tolist() == [0]
    torch.testing.assert_close(book.embed, before, rtol=0, atol=0.05)


def test_learning_repeats_to_the_bit() -> None:
    def learn() -> Any:
        quantizer = new_quantizer()
        start_codebooks(quantizer, latents(), seed=5)
        torch.rand(3)  # other draws do not matter
        for step in range(5):
            latent = latents(seed=step)
            update_codebooks(quantizer, latent, quantize(quantizer, latent)[1], seed=5, step=step)
        return quantizer.state_dict()

    first, second = learn(), learn()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_started_codebooks_stay_and_new_ones_take_what_they_leave() -> None:
    quantizer, latent = new_quantizer(), latents(batch=16)
    start_codebooks(quantizer, latent, seed=0)
    first = quantizer.layers[0].codebook.embed.clone()
    quantizer.layers[1].codebook.inited.zero_()
    quantizer.layers[1].codebook.embed.zero_()
    before = quantize(quantizer, latent + 0.3)[2]
    start_codebooks(quantizer, latent + 0.3, seed=0)
    assert torch.equal(quantizer.layers[0].codebook.embed, first)
    assert quantize(quantizer, latent + 0.3)[2] < 0.8 * before


@pytest.mark.parametrize("codebooks", [1, 3])
def test_more_codebooks_leave_less(codebooks: int) -> None:
    random = torch.randn(4, 4, 50, generator=torch.Generator().manual_seed(3))
    errors = []
    for count in (codebooks, codebooks + 1):
        quantizer = new_quantizer(count)
        start_codebooks(quantizer, random, seed=0)
        errors.append(float((quantize(quantizer, random)[0] - random).square().mean()))
    assert errors[1] < errors[0]
