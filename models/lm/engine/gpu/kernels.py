"""The kernels of a step. What bounds a step of few rows is reading: weights once, and what is remembered, as filled.

A kernel that is launched ahead of time (``AHEAD``) starts while the one before it still runs, and may read weights
then; whatever somebody wrote it reads after the wait.
"""
# mypy: ignore-errors
# This is Triton's language: neither its tensors nor its constants have types that a checker knows.

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
    """Compiled when it is first called. The compiler reads a function's source: it wants the function itself."""
    return triton.jit(inspect.unwrap(function))


@kernel
def embed(
    tokens, leader, position, embedding, positions, out, steps, table, dim,
    STREAMS: tl.constexpr, BLOCK: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """``out[row]``: the sum of its leader's tokens' embeddings, and the position's. A program a row and block."""
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
def _eights(numbers, rows: tl.constexpr):
    """Sums of the eight neighbours that a thread has."""
    return tl.sum(tl.reshape(numbers, (rows, 32, 8)), 2)


@kernel
def product(
    x, weight, factor, along, offset, out, eps, outputs,
    INPUTS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, CHUNKS: tl.constexpr, EARLY: tl.constexpr,
    NORM: tl.constexpr, GELU: tl.constexpr, ADD: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """``out = [out +] [gelu](weight · [norm] x)`` for a few rows at once. A program of one warp a block of outputs.

    Of a chunk of inputs each thread has eight: it reads once what is the same for all outputs, and waits for no other
    thread before the sums. ``EARLY`` of the ``CHUNKS`` of weights are read before the wait.

    The norm needs no pass of its own: ``weight · norm(x)`` is ``(weight · factor x - mean along) / spread + offset``,
    where ``along`` is ``weight · factor`` and ``offset`` is ``weight · bias``.
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
            given = tl.load(x + row * INPUTS + here, mask=here < INPUTS, other=0.0).to(tl.float32)
            new_totals = new_totals + (totals[row] + _eights(part * given, BLOCK),)
            if NORM:
                new_means = new_means + (means[row] + _eights(given, 1),)
                new_squares = new_squares + (squares[row] + _eights(given * given, 1),)
        totals = new_totals
        if NORM:
            means, squares = new_means, new_squares
    for row in tl.static_range(ROWS):
        result = tl.sum(totals[row], 1)
        if NORM:
            mean = tl.sum(means[row], 1) / INPUTS
            variance = tl.sum(squares[row], 1) / INPUTS - mean * mean
            result -= mean * tl.load(along + columns, mask=inside, other=0.0)
            result = result * tl.rsqrt(variance + eps) + tl.load(offset + columns, mask=inside, other=0.0)
        if GELU:
            result = 0.5 * result * (1.0 + tl.erf(result * 0.7071067811865476))
        target = out + row * outputs + columns
        if ADD:
            result += tl.load(target, mask=inside, other=0.0).to(tl.float32)
        tl.store(target, result.to(out.dtype.element_ty), mask=inside)


@kernel
def attend(
    given, keys, values, lengths, out, partial, arrived, scale, steps,
    HEADS: tl.constexpr, HEAD_DIM: tl.constexpr, SPLIT: tl.constexpr, SPLITS: tl.constexpr, ROOM: tl.constexpr,
    BLOCK: tl.constexpr, APPEND: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Each row's and head's mix of the values it remembers. A program a row, head and ``SPLIT`` steps of them.

    With ``APPEND``, ``given`` holds query, key and value side by side and ``lengths`` steps are remembered before
    them: key and value are remembered, too. Without it, only a query. Of a row's programs the last to arrive puts
    the parts together, always in the same order.
    """
    row, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    dims = tl.arange(0, HEAD_DIM)
    memory = (row.to(tl.int64) * HEADS + head) * steps * HEAD_DIM
    # What earlier steps remembered, and how much, nobody changes in this one before this kernel.
    length = tl.load(lengths + row).to(tl.int32)
    end = tl.minimum((split + 1) * SPLIT, length)
    at = split * SPLIT + tl.arange(0, BLOCK)
    places = memory + at[:, None] * HEAD_DIM + dims[None, :]
    key_block = tl.load(keys + places, mask=(at < end)[:, None], other=0.0)
    value_block = tl.load(values + places, mask=(at < end)[:, None], other=0.0)
    if AHEAD:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    used = (length + SPLIT) // SPLIT if APPEND else (length + SPLIT - 1) // SPLIT
    target = out + (row * HEADS + head) * HEAD_DIM + dims
    if split < used:
        wide = 3 if APPEND else 1
        source = given + row * wide * HEADS * HEAD_DIM + head * HEAD_DIM + dims
        query = tl.load(source).to(tl.float32) * scale
        most, whole = -float("inf"), 0.0
        mix = tl.zeros((HEAD_DIM,), tl.float32)
        if APPEND:
            if split == used - 1:
                key, value = tl.load(source + HEADS * HEAD_DIM), tl.load(source + 2 * HEADS * HEAD_DIM)
                place = memory + length * HEAD_DIM + dims
                tl.store(keys + place, key)
                tl.store(values + place, value)
                most, whole = tl.sum(query * key.to(tl.float32), 0), 1.0
                mix = value.to(tl.float32)
        for first in range(split * SPLIT, end, BLOCK):
            at = first + tl.arange(0, BLOCK)
            if first > split * SPLIT:
                places = memory + at[:, None] * HEAD_DIM + dims[None, :]
                key_block = tl.load(keys + places, mask=(at < end)[:, None], other=0.0)
                value_block = tl.load(values + places, mask=(at < end)[:, None], other=0.0)
            score = tl.where(at < end, tl.sum(key_block.to(tl.float32) * query[None, :], 1), -float("inf"))
            now = tl.maximum(most, tl.max(score, 0))
            share = tl.exp(score - now)
            before = tl.exp(most - now)
            mix = mix * before + tl.sum(share[:, None] * value_block.to(tl.float32), 0)
            whole = whole * before + tl.sum(share, 0)
            most = now
        if used == 1:
            tl.store(target, (mix / whole).to(out.dtype.element_ty))
        else:
            parts = partial + (row * HEADS + head) * SPLITS * (HEAD_DIM + 2)
            tl.store(parts + split * (HEAD_DIM + 2) + dims, mix)
            tl.store(parts + split * (HEAD_DIM + 2) + HEAD_DIM, most)
            tl.store(parts + split * (HEAD_DIM + 2) + HEAD_DIM + 1, whole)
            tl.debug_barrier()
            counter = arrived + row * HEADS + head
            if tl.atomic_add(counter, 1, sem="acq_rel") == used - 1:
                tl.store(counter, 0)
                every = tl.arange(0, ROOM)
                there = parts + every * (HEAD_DIM + 2)
                mosts = tl.load(there + HEAD_DIM, mask=every < used, other=-float("inf"), cache_modifier=".cg")
                wholes = tl.load(there + HEAD_DIM + 1, mask=every < used, other=0.0, cache_modifier=".cg")
                mixes = tl.load(
                    there[:, None] + dims[None, :], mask=(every < used)[:, None], other=0.0, cache_modifier=".cg"
                )
                share = tl.exp(mosts - tl.max(mosts, 0))
                mix = tl.sum(share[:, None] * mixes, 0) / tl.sum(share * wholes, 0)
                tl.store(target, mix.to(out.dtype.element_ty))
    elif split == 0:
        tl.store(target, tl.zeros((HEAD_DIM,), out.dtype.element_ty))


@kernel
def _order(numbers):
    """Whole numbers in the order of the floats."""
    bits = numbers.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@kernel
def _reaching(order, weights, wanted):
    """The largest number such that all that are no less weigh what is wanted: bit after bit, from the top."""
    least = tl.full((), -2147483648, tl.int32)
    for bit in tl.static_range(32):
        higher = least ^ -2147483648 if bit == 0 else least + (1 << (31 - bit))
        enough = tl.sum(tl.where(order >= higher, weights, 0.0), 0) >= wanted
        least = tl.where(enough, higher, least)
    return least


@kernel
def draw(
    logits, tokens, fixed, moves, leader, partner, position, guidance, temperature, top_k, top_p, key, logit_sum,
    steps, STREAMS: tl.constexpr, CODES: tl.constexpr, BLOCK: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Guide, keep the top k, draw, and write the next token, as :func:`models.lm.sampling.choose` does.

    A program a row and stream.
    """
    row, stream = tl.program_id(0), tl.program_id(1)
    if AHEAD:
        cuda.gdc_launch_dependents()
        cuda.gdc_wait()
    following = tl.load(position + row) + 1
    place = (row * STREAMS + stream) * steps + following
    draws = (tl.load(leader + row) == row) & (tl.load(moves + row) != 0)
    if draws:
        if tl.load(fixed + place) == 0:
            codes = tl.arange(0, BLOCK)
            inside = codes < CODES
            other = tl.load(partner + row)
            with_text = tl.load(logits + (row * STREAMS + stream) * CODES + codes, mask=inside)
            without = tl.load(logits + (other * STREAMS + stream) * CODES + codes, mask=inside)
            guided = without + tl.load(guidance + row) * (with_text - without)
            total = tl.sum(tl.where(inside, guided, 0.0), 0)
            tl.store(logit_sum + row, total, mask=(total - total) != 0)  # where it is not finite
            guided = tl.where(inside, guided, -float("inf"))
            warmth = tl.load(temperature + row)
            scaled = guided / tl.maximum(warmth, 1e-6)
            order = _order(scaled)
            kept = tl.load(top_k + row).to(tl.float32)
            if (kept > 0) & (kept < CODES):
                least = _reaching(order, tl.where(inside, 1.0, 0.0), kept)
                scaled = tl.where(order >= least, scaled, -float("inf"))
            limit = tl.load(top_p + row)
            if limit > 0:
                shares = tl.exp(scaled - tl.max(scaled, 0))
                least = _reaching(order, shares, limit * tl.sum(shares, 0))
                scaled = tl.where(order >= least, scaled, -float("inf"))
            noise = tl.load(key + row).to(tl.uint64, bitcast=True)
            noise += following.to(tl.uint64) * (STREAMS * CODES) * GOLDEN
            noise = noise + (stream * CODES + codes).to(tl.uint64) * GOLDEN
            noise = (noise ^ (noise >> 30)) * FIRST
            noise = (noise ^ (noise >> 27)) * SECOND
            noise = noise ^ (noise >> 31)
            uniform = ((noise >> 41).to(tl.float32) + 0.5) * 1.1920928955078125e-07
            drawn = tl.argmax(scaled - tl.log(-tl.log(uniform)), 0)
            if warmth == 0:
                drawn = tl.argmax(guided, 0)
            tl.store(tokens + place, drawn.to(tl.int64))
