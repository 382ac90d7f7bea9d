"""The kernels of a step. A step of few rows is bounded by reading: all weights once, and the filled KV cache.

A kernel that is launched ahead of time (``AHEAD``) starts while the one before it still runs. Before its wait it may
read weights and what earlier steps cached; what the kernels before it write, it reads after the wait.
"""
# mypy: ignore-errors
# Triton's language: type checkers know neither its tensors nor its constants.

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl
from triton.language.extra import cuda

# Splitmix64, as models.lm.sampling has it.
GOLDEN = tl.constexpr(0x9E3779B97F4A7C15)
FIRST = tl.constexpr(0xBF58476D1CE4E5B9)
SECOND = tl.constexpr(0x94D049BB133111EB)


def kernel(function: Callable[..., None]) -> Any:
    """Compile a function at its first call. The compiler reads the source, so the function must not be wrapped."""
    return triton.jit(inspect.unwrap(function))


@kernel
def embed(
    tokens, leader, position, embedding, positions, out, steps, table, dim,
    STREAMS: tl.constexpr, BLOCK: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """``out[row]``: embeddings of its leader's tokens and its position, summed. One program per row and block."""
    row = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < dim
    if AHEAD:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    at = tl.load(position + row)
    lead = tl.load(leader + row)
    total = tl.load(positions + at * dim + columns, mask=inside).to(tl.float32)
    for stream in tl.static_range(STREAMS):
        token = tl.load(tokens + (lead * STREAMS + stream) * steps + at)
        total += tl.load(embedding + (stream * table + token) * dim + columns, mask=inside).to(tl.float32)
    tl.store(out + row * dim + columns, total.to(out.dtype.element_ty), mask=inside)


@kernel
def _sum_eights(numbers, rows: tl.constexpr):
    """Sums of eight neighbours, which one thread holds: [rows, 256] -> [rows, 32]."""
    return tl.sum(tl.reshape(numbers, (rows, 32, 8)), 2)


@kernel
def product(
    x, weight, factor, scaled, offset, out, eps, outputs,
    INPUTS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, CHUNKS: tl.constexpr, EARLY: tl.constexpr,
    NORM: tl.constexpr, GELU: tl.constexpr, ADD: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """``out = [out +] [gelu](weight · [norm] x)`` for a few rows. One program of one warp per block of outputs.

    Each thread holds eight inputs of a chunk: it reads them once for all outputs of the block, and needs no other
    thread before the final sums. The first ``EARLY`` of the ``CHUNKS`` of weights are read before the wait.

    The norm needs no pass of its own: ``weight · norm(x)`` is
    ``(weight · factor x - mean scaled) / spread + offset``, where ``scaled`` is ``weight · factor`` and ``offset`` is
    ``weight · bias``.
    """
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < outputs
    inputs = tl.arange(0, 256)[None, :]
    places = weight + columns[:, None] * INPUTS + inputs
    early = ()
    for chunk in tl.static_range(EARLY):
        within = inside[:, None] & (chunk * 256 + inputs < INPUTS)
        early = early + (tl.load(places + chunk * 256, mask=within, other=0.0),)
    if AHEAD:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    totals, means, squares = (), (), ()
    for _row in tl.static_range(ROWS):
        totals = totals + (tl.zeros((BLOCK, 32), tl.float32),)
        means = means + (tl.zeros((1, 32), tl.float32),)
        squares = squares + (tl.zeros((1, 32), tl.float32),)
    for chunk in tl.static_range(CHUNKS):
        here = chunk * 256 + inputs
        if chunk < EARLY:
            part = early[chunk]
        else:
            part = tl.load(places + chunk * 256, mask=inside[:, None] & (here < INPUTS), other=0.0)
        part = part.to(tl.float32)
        if NORM:
            part *= tl.load(factor + here, mask=here < INPUTS, other=0.0).to(tl.float32)
        new_totals, new_means, new_squares = (), (), ()
        for row in tl.static_range(ROWS):
            inputs_of_row = tl.load(x + row * INPUTS + here, mask=here < INPUTS, other=0.0).to(tl.float32)
            new_totals = new_totals + (totals[row] + _sum_eights(part * inputs_of_row, BLOCK),)
            if NORM:
                new_means = new_means + (means[row] + _sum_eights(inputs_of_row, 1),)
                new_squares = new_squares + (squares[row] + _sum_eights(inputs_of_row * inputs_of_row, 1),)
        totals = new_totals
        if NORM:
            means, squares = new_means, new_squares
    for row in tl.static_range(ROWS):
        result = tl.sum(totals[row], 1)
        if NORM:
            mean = tl.sum(means[row], 1) / INPUTS
            variance = tl.sum(squares[row], 1) / INPUTS - mean * mean
            result -= mean * tl.load(scaled + columns, mask=inside, other=0.0)
            result = result * tl.rsqrt(variance + eps) + tl.load(offset + columns, mask=inside, other=0.0)
        if GELU:
            result = 0.5 * result * (1.0 + tl.erf(result * 0.7071067811865476))
        target = out + row * outputs + columns
        if ADD:
            result += tl.load(target, mask=inside, other=0.0).to(tl.float32)
        tl.store(target, result.to(out.dtype.element_ty), mask=inside)


@kernel
def attend(
    projected, keys, values, lengths, out, partial, arrived, scale, steps,
    HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, SPLIT: tl.constexpr, SPLITS: tl.constexpr,
    SPLITS_BLOCK: tl.constexpr, BLOCK: tl.constexpr, APPEND: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Attention of one query per row and head. One program per row, head and ``SPLIT`` steps of the cache.

    With ``APPEND``, ``projected`` holds query, key and value side by side; the key and the value are added to the
    cache, behind ``lengths`` steps. Without it, ``projected`` holds queries only. The program of a row and head that
    finishes last combines the parts of all, always in the same order.
    """
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    dims = tl.arange(0, HEAD_DIM)
    base = (row.to(tl.int64) * HEADS + head) * steps * HEAD_DIM
    # What earlier steps cached, and its length, no kernel of this step changes before this one.
    length = tl.load(lengths + row).to(tl.int32)
    end = tl.minimum((split + 1) * SPLIT, length)
    at = split * SPLIT + tl.arange(0, BLOCK)
    places = base + at[:, None] * HEAD_DIM + dims[None, :]
    key_block = tl.load(keys + places, mask=(at < end)[:, None], other=0.0)
    value_block = tl.load(values + places, mask=(at < end)[:, None], other=0.0)
    if AHEAD:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    used = (length + SPLIT) // SPLIT if APPEND else (length + SPLIT - 1) // SPLIT
    target = out + (row * HEADS + head) * HEAD_DIM + dims
    if split < used:
        wide = 3 if APPEND else 1
        source = projected + row * wide * HEADS * HEAD_DIM + head * HEAD_DIM + dims
        query = tl.load(source).to(tl.float32) * scale
        # Online softmax: the largest score so far, and sums relative to it.
        peak, total = -float("inf"), 0.0
        mix = tl.zeros((HEAD_DIM,), tl.float32)
        if APPEND:
            if split == used - 1:
                key, value = tl.load(source + HEADS * HEAD_DIM), tl.load(source + 2 * HEADS * HEAD_DIM)
                place = base + length * HEAD_DIM + dims
                tl.store(keys + place, key)
                tl.store(values + place, value)
                peak, total = tl.sum(query * key.to(tl.float32), 0), 1.0
                mix = value.to(tl.float32)
        for first in range(split * SPLIT, end, BLOCK):
            at = first + tl.arange(0, BLOCK)
            if first > split * SPLIT:
                places = base + at[:, None] * HEAD_DIM + dims[None, :]
                key_block = tl.load(keys + places, mask=(at < end)[:, None], other=0.0)
                value_block = tl.load(values + places, mask=(at < end)[:, None], other=0.0)
            score = tl.where(at < end, tl.sum(key_block.to(tl.float32) * query[None, :], 1), -float("inf"))
            new_peak = tl.maximum(peak, tl.max(score, 0))
            weights = tl.exp(score - new_peak)
            rescale = tl.exp(peak - new_peak)
            mix = mix * rescale + tl.sum(weights[:, None] * value_block.to(tl.float32), 0)
            total = total * rescale + tl.sum(weights, 0)
            peak = new_peak
        if used == 1:
            tl.store(target, (mix / total).to(out.dtype.element_ty))
        else:
            parts = partial + (row * HEADS + head) * SPLITS * (HEAD_DIM + 2)
            tl.store(parts + split * (HEAD_DIM + 2) + dims, mix)
            tl.store(parts + split * (HEAD_DIM + 2) + HEAD_DIM, peak)
            tl.store(parts + split * (HEAD_DIM + 2) + HEAD_DIM + 1, total)
            tl.debug_barrier()
            counter = arrived + row * HEADS + head
            if tl.atomic_add(counter, 1, sem="acq_rel") == used - 1:
                tl.store(counter, 0)
                every = tl.arange(0, SPLITS_BLOCK)
                there = parts + every * (HEAD_DIM + 2)
                peaks = tl.load(there + HEAD_DIM, mask=every < used, other=-float("inf"), cache_modifier=".cg")
                totals = tl.load(there + HEAD_DIM + 1, mask=every < used, other=0.0, cache_modifier=".cg")
                mixes = tl.load(
                    there[:, None] + dims[None, :], mask=(every < used)[:, None], other=0.0, cache_modifier=".cg"
                )
                weights = tl.exp(peaks - tl.max(peaks, 0))
                mix = tl.sum(weights[:, None] * mixes, 0) / tl.sum(weights * totals, 0)
                tl.store(target, mix.to(out.dtype.element_ty))
    elif split == 0:
        tl.store(target, tl.zeros((HEAD_DIM,), out.dtype.element_ty))


@kernel
def _order(numbers):
    """Integers in the same order as the floats."""
    bits = numbers.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@kernel
def _threshold(order, weights, wanted):
    """The largest integer such that the weights of all that are not below it sum up to ``wanted`` at least.

    A binary search that sets one bit after the other, from the top.
    """
    least = tl.full((), -2147483648, tl.int32)
    for bit in tl.static_range(32):
        higher = least ^ -2147483648 if bit == 0 else least + (1 << (31 - bit))
        enough = tl.sum(tl.where(order >= higher, weights, 0.0), 0) >= wanted
        least = tl.where(enough, higher, least)
    return least


@kernel
def draw(
    logits, tokens, fixed, exec_mask, leader, partner, position, guidance, temperature, top_k, top_p, noise_key,
    check_sum, steps, STREAMS: tl.constexpr, CODES: tl.constexpr, BLOCK: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Guide, filter, draw and store the next token, as :func:`models.lm.sampling.choose` does.

    One program per row and stream.
    """
    row, stream = tl.program_id(0), tl.program_id(1)
    if AHEAD:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    following = tl.load(position + row) + 1
    place = (row * STREAMS + stream) * steps + following
    draws = (tl.load(leader + row) == row) & (tl.load(exec_mask + row) != 0)
    if draws:
        if tl.load(fixed + place) == 0:
            codes = tl.arange(0, BLOCK)
            inside = codes < CODES
            other = tl.load(partner + row)
            with_text = tl.load(logits + (row * STREAMS + stream) * CODES + codes, mask=inside)
            without = tl.load(logits + (other * STREAMS + stream) * CODES + codes, mask=inside)
            guided = without + tl.load(guidance + row) * (with_text - without)
            total = tl.sum(tl.where(inside, guided, 0.0), 0)
            tl.store(check_sum + row, total, mask=(total - total) != 0)  # only if it is not finite
            guided = tl.where(inside, guided, -float("inf"))
            row_temperature = tl.load(temperature + row)
            scaled = guided / tl.maximum(row_temperature, 1e-6)
            order = _order(scaled)
            row_top_k = tl.load(top_k + row).to(tl.float32)
            if (row_top_k > 0) & (row_top_k < CODES):
                least = _threshold(order, tl.where(inside, 1.0, 0.0), row_top_k)
                scaled = tl.where(order >= least, scaled, -float("inf"))
            row_top_p = tl.load(top_p + row)
            if row_top_p > 0:
                weights = tl.exp(scaled - tl.max(scaled, 0))
                least = _threshold(order, weights, row_top_p * tl.sum(weights, 0))
                scaled = tl.where(order >= least, scaled, -float("inf"))
            noise = tl.load(noise_key + row).to(tl.uint64, bitcast=True)
            noise += following.to(tl.uint64) * (STREAMS * CODES) * GOLDEN
            noise = noise + (stream * CODES + codes).to(tl.uint64) * GOLDEN
            noise = (noise ^ (noise >> 30)) * FIRST
            noise = (noise ^ (noise >> 27)) * SECOND
            noise = noise ^ (noise >> 31)
            uniform = ((noise >> 41).to(tl.float32) + 0.5) * 1.1920928955078125e-07
            drawn = tl.argmax(scaled - tl.log(-tl.log(uniform)), 0)
            if row_temperature == 0:
                drawn = tl.argmax(guided, 0)
            tl.store(tokens + place, drawn.to(tl.int64))
