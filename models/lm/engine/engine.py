"""The decoding engine: requests join between steps, share them, and leave when they are done or cancelled."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor

from models.errors import not_finite
from models.lm.engine.attention import ChunkAttention, FilledAttention
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.plan import EnginePlan
from models.lm.engine.request import Request, Written
from models.lm.engine.rows import Rows
from models.lm.engine.sequence import Family, Job
from models.lm.engine.step import DrawKind, read_steps, step_of_some, whole_step
from models.lm.transformer import StemTransformer

WORTH_READING = 8
"""Known steps that are read in one pass; fewer go along with the steps of others."""

_MEND = "Choose precision float32; if it stays, export the model again from an earlier checkpoint."


class Engine:
    """Fills grids, many at a time. What a request gives depends on itself and its seed alone.

    One thread at a time may use it.

    Args:
        model: the transformer, on its device.
        delays: the layout's.
        plan: slots and sizes, from :func:`~models.lm.engine.plan.plan_engine`.
    """

    def __init__(self, model: StemTransformer, delays: tuple[int, ...], plan: EnginePlan) -> None:
        self.plan, self._delays, self._size = plan, delays, model.size
        self._network = DecodingNetwork(model, plan.precision, plan.shape.steps)
        self._rows = Rows(plan.rows, plan.shape, plan.dtype, self._network.device)
        self._step_of_all = whole_step(self._network, self._rows) if plan.static else None
        self._free = list(range(plan.rows))
        self._waiting: deque[Job] = deque()
        self._seated: list[Job] = []
        self._count = 0

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._network.device

    @property
    def waiting(self) -> int:
        """Requests that have no rows yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests that have rows."""
        return len(self._seated)

    @property
    def free_rows(self) -> int:
        """Rows that nobody has."""
        return len(self._free)

    def submit(self, request: Request, takes: int = 1) -> list[int]:
        """Queue a request, and return the numbers of its takes; take k has the request's seed + k.

        Raises:
            StemsError: the request cannot be done. It has then taken no slot.
        """
        plan, special = self.plan, self._size.cardinality
        request.check(self._size.streams, special, plan.longest, plan.shape.text_positions)
        family, seed = Family(request), request.sampling.seeded()
        window = plan.window(edit=request.hidden is not None)
        for take in range(takes):
            family.jobs.append(Job(self._count, family, (seed + take) % 2**63, window, self._delays, special))
            self._count += 1
        self._waiting.extend(family.jobs)
        return [job.number for job in family.jobs]

    def cancel(self, number: int) -> None:
        """Forget a request; its rows are free at once. One that is done or unknown is no error."""
        for job in [job for job in (*self._seated, *self._waiting) if job.number == number]:
            self._leave(job)

    @torch.inference_mode()
    def step(self) -> list[Written]:
        """Let requests in, read a chunk of what one knows, write a step of the others; tell what is complete."""
        news = self._seat()
        reading = [job for job in self._seated if job.known_ahead >= WORTH_READING]
        writing = [job for job in self._seated if job.known_ahead < WORTH_READING]
        read = self._read(reading)
        if writing:
            self._write(writing)
        return news + [told for job in (*read, *writing) if (told := self._settle(job)) is not None]

    def play(self, requests: Sequence[Request]) -> Generator[Written, None, None]:
        """Fill several grids, and tell of each as frames are complete; ``request`` is the place in the sequence.

        To be called while nothing else waits or runs. Closing it cancels what is left.

        Raises:
            StemsError: a request cannot be done, or its numbers are not finite.
        """
        places = {self.submit(request)[0]: place for place, request in enumerate(requests)}
        try:
            while self.waiting or self.running:
                for written in self.step():
                    if written.error is not None:
                        raise written.error
                    yield replace(written, request=places[written.request])
        finally:
            for number in places:
                self.cancel(number)

    def run(self, requests: Sequence[Request]) -> list[Int[Tensor, "streams frames"]]:
        """Fill several grids, and return them in order. See :meth:`play`."""
        parts: list[list[Tensor]] = [[] for _ in requests]
        for written in self.play(requests):
            parts[written.request].append(written.codes)
        return [torch.cat(part, dim=1) for part in parts]

    def _seat(self) -> list[Written]:
        """Give rows to those who have waited longest, in order."""
        news = []
        while self._waiting and self._waiting[0].needs <= len(self._free):
            job = self._waiting.popleft()
            job.taken = tuple(self._free[: job.needs])
            del self._free[: job.needs]
            self._seated.append(job)
            self._rows.seat(job.taken, job.request.sampling, job.family.text(self._network))
            if not job.next_window(self._rows):
                news.append(job.tell(job.request.grid.columns))
                self._leave(job)
        return news

    def _read(self, reading: list[Job]) -> list[Job]:
        """Read known steps: of takes whose sibling has read them, all; of the first other request, a chunk."""
        moved: list[Job] = []
        for job in reading:
            sibling = job.sibling()
            if sibling is None:
                self._read_chunk(job)
                return [*moved, job]
            if sibling.position >= job.known_ahead:
                self._rows.copy(sibling.taken, job.taken, job.known_ahead)
                job.position = job.known_ahead
                moved.append(job)
        return moved

    def _read_chunk(self, job: Job) -> None:
        first, count = job.position, min(job.known_ahead, self.plan.chunk)
        attention = ChunkAttention(self._rows, job.taken, first, count, job.texts)
        read_steps(self._network, self._rows, job.taken, slice(first, first + count), attention)
        job.position += count

    def _write(self, writing: list[Job]) -> None:
        """One step of several requests."""
        samplings = [job.request.sampling for job in writing]
        rows, kind = self._rows, DrawKind.of(samplings, fixed=self.plan.static)
        moving = {row: job for job in writing for row in job.taken}
        rows.move(list(moving))
        if self._step_of_all is not None:
            self._step_of_all(kind)
        else:
            taken, texts = self._places(moving)
            ends = [moving[row].position + 1 if row in moving else 0 for row in taken]
            leads = [taken.index(job.taken[0]) for job in writing]
            partners = [taken.index(job.taken[-1]) for job in writing]
            step_of_some(self._network, rows, leads, partners, FilledAttention(rows, taken, ends, texts), kind)
        for job in writing:
            job.position += 1

    def _places(self, moving: dict[int, Job]) -> tuple[list[int], list[int]]:
        """Rows of a step, and the lengths of the texts of the first of them: the only ones with a text, or all.

        Where the bits of a row could depend on how many there are, all rows take part in every step.
        """
        texts = {row: job.texts if row == job.taken[0] else 0 for row, job in moving.items()}
        if self._network.rows_are_alone:
            taken = sorted(moving, key=lambda row: (texts[row] == 0, row))
            return taken, [texts[row] for row in taken if texts[row]]
        return list(range(self.plan.rows)), [texts.get(row, 0) for row in range(self.plan.rows)]

    def _settle(self, job: Job) -> Written | None:
        """Tell what is complete; where a window is, go on to the next, or leave. Leave with numbers out of range."""
        if not job.finished:
            if (end := job.complete) - job.told < self.plan.report_frames:
                return None
        else:
            end = job.windows[job.window].end
        job.keep(self._rows, end)
        if self._rows.is_broken(job.taken[0]):
            self._leave(job)
            return job.fail(not_finite("language model", _MEND))
        if job.finished and not job.next_window(self._rows):
            self._leave(job)
            end = job.request.grid.columns
        return job.tell(end) if end > job.told else None

    def _leave(self, job: Job) -> None:
        """Give a request's rows back."""
        job.family.jobs.remove(job)
        if job in self._waiting:
            self._waiting.remove(job)
        else:
            self._seated.remove(job)
            self._rows.leave(job.taken)
            self._free = sorted((*self._free, *job.taken))
