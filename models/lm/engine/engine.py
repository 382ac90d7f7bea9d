"""The decoding engine: requests join between steps, share each step, and leave when they are done or cancelled."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from models.errors import not_finite
from models.lm.engine.attention import ChunkAttention, RaggedAttention
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.plan import EnginePlan
from models.lm.engine.request import Output, Phases, Request
from models.lm.engine.rows import Rows
from models.lm.engine.sequence import Sequence, SequenceGroup
from models.lm.engine.step import DrawKind, prefill, prepared_batch_step, subset_step
from models.lm.transformer import StemTransformer

MIN_PREFILL = 8
"""Known steps that are worth a prefill; fewer are read one by one, in the decoding steps of all."""

_FIX = "Choose precision float32; if it stays, export the model again from an earlier checkpoint."


class Engine:
    """Fills grids, many at a time. The result of a request depends on the request and its seed alone.

    A request goes through five stages: admit (it gets rows), prefill (known steps are read in chunks), decode (one
    step at a time, together with the others), emit (complete frames are put out), release (its rows become free).

    Use it from one thread at a time.

    Args:
        model: the transformer, on its device.
        delays: the layout's delay of each stream, in steps.
        plan: slots and sizes, from :func:`~models.lm.engine.plan.plan_engine`.
    """

    def __init__(self, model: StemTransformer, delays: tuple[int, ...], plan: EnginePlan) -> None:
        self.plan, self._delays, self._size = plan, delays, model.size
        self._network = DecodingNetwork(model, plan.precision, plan.shape.steps)
        self._rows = Rows(plan.rows, plan.shape, plan.dtype, self._network.device)
        self._batch_step = prepared_batch_step(self._network, self._rows) if plan.static else None
        # There are few rows and sequences: sorting and searching these lists costs nothing beside a step.
        self._free = list(range(plan.rows))
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._next_id = 0
        self.phases = Phases()
        """What the last step did."""

    @property
    def device(self) -> torch.device:
        """The device that it runs on."""
        return self._network.device

    @property
    def waiting(self) -> int:
        """Number of sequences that wait for rows."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of sequences that have rows."""
        return len(self._running)

    @property
    def free_rows(self) -> int:
        """Number of rows without a sequence."""
        return len(self._free)

    def submit(self, request: Request, takes: int = 1) -> list[int]:
        """Queue a request.

        Args:
            request: what to fill.
            takes: number of results; take k uses the request's seed + k.

        Returns:
            The sequence ids of its takes.

        Raises:
            StemsError: the engine cannot serve the request. Nothing is queued then.
        """
        plan, special = self.plan, self._size.cardinality
        request.check(self._size.streams, special, plan.longest, plan.shape.text_positions)
        group, seed = SequenceGroup(request), request.sampling.seeded()
        window = plan.window(edit=request.hidden is not None)
        for take in range(takes):
            take_seed = (seed + take) % 2**63
            group.sequences.append(Sequence(self._next_id, group, take_seed, window, self._delays, special))
            self._next_id += 1
        self._waiting.extend(group.sequences)
        return [sequence.id for sequence in group.sequences]

    def cancel(self, sequence_id: int) -> None:
        """Drop a sequence and free its rows at once. Ids that are done or unknown are ignored."""
        for sequence in [each for each in (*self._running, *self._waiting) if each.id == sequence_id]:
            self._release(sequence)

    @torch.inference_mode()
    def step(self) -> list[Output]:
        """Admit requests, prefill a chunk of one, decode one step of the others, and return newly complete frames."""
        outputs = self._admit()
        prefilling = [sequence for sequence in self._running if sequence.prefillable >= MIN_PREFILL]
        decoding = [sequence for sequence in self._running if sequence.prefillable < MIN_PREFILL]
        self.phases = Phases(tuple(each.id for each in prefilling), tuple(each.id for each in decoding))
        prefilled = self._prefill(prefilling)
        if decoding:
            self._decode(decoding)
        emitted = [self._emit(sequence) for sequence in (*prefilled, *decoding)]
        return outputs + [output for output in emitted if output is not None]

    def generate(self, requests: Collection[Request]) -> Generator[Output, None, None]:
        """Fill several grids, and yield the frames of each as they are complete.

        ``sequence_id`` is the place of the request among ``requests``. Call it while nothing else waits or runs.
        Closing the generator cancels what is left.

        Raises:
            StemsError: the engine cannot serve a request, or its logits are not finite.
        """
        places = {self.submit(request)[0]: place for place, request in enumerate(requests)}
        try:
            while self.waiting or self.running:
                for output in self.step():
                    if output.error is not None:
                        raise output.error
                    yield replace(output, sequence_id=places[output.sequence_id])
        finally:
            for sequence_id in places:
                self.cancel(sequence_id)

    def run(self, requests: Collection[Request]) -> list[Int[Tensor, "streams frames"]]:
        """Fill several grids, and return the codes of each. See :meth:`generate`."""
        parts: list[list[Tensor]] = [[] for _ in requests]
        for output in self.generate(requests):
            parts[output.sequence_id].append(output.codes)
        return [torch.cat(part, dim=1) for part in parts]

    def _admit(self) -> list[Output]:
        """Give rows to waiting sequences, first come, first served. Grids without unknown codes are done at once."""
        outputs = []
        while self._waiting and self._waiting[0].rows_needed <= len(self._free):
            sequence = self._waiting.popleft()
            sequence.row_ids = tuple(self._free[: sequence.rows_needed])
            del self._free[: sequence.rows_needed]
            self._running.append(sequence)
            self._rows.admit(sequence.row_ids, sequence.request.sampling, sequence.group.text(self._network))
            sequence.advance_window(self._rows)
            if sequence.done:
                self._release(sequence)
                outputs.append(sequence.emit(sequence.collected))
        return outputs

    def _prefill(self, sequences: list[Sequence]) -> list[Sequence]:
        """Read known steps in one pass, and return the sequences that have moved on.

        A take whose sibling is already prefilled copies its KV cache; the first of the others gets one chunk.
        """
        copying = {sequence: source for sequence in sequences if (source := sequence.prefilled_sibling())}
        for sequence, source in copying.items():
            steps = sequence.prefillable
            self._rows.copy_prefix(source.row_ids, sequence.row_ids, steps)
            sequence.position = steps
        others = (sequence for sequence in sequences if sequence not in copying and not sequence.awaits_sibling())
        first = next(others, None)
        if first is None:
            return list(copying)
        self._prefill_chunk(first)
        return [*copying, first]

    def _prefill_chunk(self, sequence: Sequence) -> None:
        first, count = sequence.position, min(sequence.prefillable, self.plan.prefill_chunk)
        attention = ChunkAttention(self._rows, sequence.row_ids, first, count, sequence.text_length)
        prefill(self._network, self._rows, sequence.row_ids, slice(first, first + count), attention)
        sequence.position += count

    def _decode(self, sequences: list[Sequence]) -> None:
        """One step of several sequences."""
        rows = self._rows
        kind = DrawKind.of([sequence.request.sampling for sequence in sequences], fixed=self.plan.static)
        by_row = {row: sequence for sequence in sequences for row in sequence.row_ids}
        rows.set_exec_mask(list(by_row))
        if self._batch_step is not None:
            self._batch_step(kind)
        else:
            row_ids, text_lengths = self._rows_of_step(by_row)
            lengths = [by_row[row].position + 1 if row in by_row else 0 for row in row_ids]
            leaders = [row_ids.index(sequence.leader) for sequence in sequences]
            partners = [row_ids.index(sequence.partner) for sequence in sequences]
            attention = RaggedAttention(rows, row_ids, lengths, text_lengths)
            subset_step(self._network, rows, leaders, partners, attention, kind)
        for sequence in sequences:
            sequence.position += 1

    def _rows_of_step(self, by_row: dict[int, Sequence]) -> tuple[list[int], list[int]]:
        """The rows to compute, those with a text first, and the lengths of these texts.

        If results could depend on the number of rows, every step computes all of them, each as if it had a text.
        """
        text_lengths = {row: each.text_length if row == each.leader else 0 for row, each in by_row.items()}
        if self._network.batch_invariant:
            row_ids = sorted(by_row, key=lambda row: (text_lengths[row] == 0, row))
            return row_ids, [text_lengths[row] for row in row_ids if text_lengths[row]]
        return list(range(self.plan.rows)), [text_lengths.get(row, 0) for row in range(self.plan.rows)]

    def _emit(self, sequence: Sequence) -> Output | None:
        """Return newly complete frames; when a window is done, start the next or release the rows.

        Frames wait until ``report_frames`` of them are complete, or the window is. A sequence with numbers that are
        not finite ends here, before frames that they drew are put out.
        """
        finished, complete = sequence.window_finished, sequence.complete_frames
        if not finished and complete - sequence.reported < self.plan.report_frames:
            return None
        sequence.collect(self._rows, complete)
        if not self._rows.is_finite(sequence.leader):
            self._release(sequence)
            return sequence.emit_error(not_finite("language model", _FIX))
        if finished:
            sequence.advance_window(self._rows)
        if sequence.done:
            self._release(sequence)
            complete = sequence.collected
        return sequence.emit(complete) if complete > sequence.reported else None

    def _release(self, sequence: Sequence) -> None:
        """Free the rows of a sequence, or take it out of the queue."""
        sequence.group.sequences.remove(sequence)
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        else:
            self._running.remove(sequence)
            self._rows.release(sequence.row_ids)
            self._free = sorted((*self._free, *sequence.row_ids))
