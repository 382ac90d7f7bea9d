"""moto's S3 server behind a proxy that fails requests by a plan: a process of its own, `python -m helpers.s3_proxy`.

It prints its address, and ends when its standard input does: with the process that started it, however that ends.
A plan is put to the path ``/-/faults``; getting that says how many faults there have been since, by kind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import threading
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from moto.server import ThreadedMotoServer
from yarl import URL

PLAN = "/-/faults"
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
_ERROR = (500, "InternalError", "We encountered an internal error. Please try again.")
_SLOW_DOWN = (503, "SlowDown", "Please reduce your request rate.")


@dataclass(frozen=True)
class Faults:
    """Which share of the requests fails, and how. What request ``n`` meets depends on the seed and ``n`` alone.

    Args:
        seed: of the draws.
        errors: answered with 500 InternalError, nothing done.
        slow: answered with 503 SlowDown, nothing done.
        cut: the connection ends in the middle of an answer's body; for all but GET, before anything is done.
        stalls: nothing done, and the connection closed in silence after ``stall_s``.
        lost_answers: PUTs that are done, and then answered with 500.
        in_a_row: after so many faults one after the other, the same request is served.
        stall_s: see ``stalls``; longer than clients wait.
    """

    seed: int
    errors: float = 0.05
    slow: float = 0.05
    cut: float = 0.02
    stalls: float = 0.01
    lost_answers: float = 0.02
    in_a_row: int = 3
    stall_s: float = 6.0

    def draw(self, number: int) -> str:
        """The fault of request ``number``: the name of a share, or nothing."""
        at = random.Random(f"{self.seed}:{number}").random()
        for name in ("errors", "slow", "cut", "stalls", "lost_answers"):
            share: float = getattr(self, name)
            if at < share:
                return name
            at -= share
        return ""


class Proxy:
    """Passes requests on to ``upstream``, but for those that a plan fails."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._plan = Faults(0, 0, 0, 0, 0, 0)
        self._requests = 0
        self._injected: Counter[str] = Counter()
        self._in_a_row: Counter[tuple[str, str]] = Counter()
        # moto looks for a key and writes it in two steps; in S3 a conditional write is one.
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def serve(self) -> None:
        """Print the address and answer for ever."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as self._session:
            app = web.Application()
            app.router.add_put(PLAN, self._take_plan)
            app.router.add_get(PLAN, self._say_injected)
            app.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
            await asyncio.Event().wait()

    async def _take_plan(self, request: web.Request) -> web.Response:
        self._plan = Faults(**await request.json())
        self._requests, self._injected, self._in_a_row = 0, Counter(), Counter()
        return web.Response()

    async def _say_injected(self, request: web.Request) -> web.Response:
        return web.json_response(self._injected)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fault = self._next_fault(request.method, request.path_qs)
        if fault in ("", "lost_answers") or (fault == "cut" and request.method == "GET"):
            async with self._writing[request.path] if request.method == "PUT" else nullcontext():
                return await self._forward(request, fault)
        await request.release()  # reads what the client sends
        if fault == "errors":
            return _error(*_ERROR)
        if fault == "slow":
            return _error(*_SLOW_DOWN)
        if fault == "stalls":
            await asyncio.sleep(self._plan.stall_s)
        _hang_up(request)
        return web.Response()  # to nobody

    def _next_fault(self, method: str, path: str) -> str:
        fault = self._plan.draw(self._requests)
        self._requests += 1
        spared = fault == "lost_answers" and method != "PUT"
        if not fault or spared or self._in_a_row[method, path] == self._plan.in_a_row:
            self._in_a_row.pop((method, path), None)
            return ""
        self._in_a_row[method, path] += 1
        self._injected[fault] += 1
        return fault

    async def _forward(self, request: web.Request, fault: str) -> web.StreamResponse:
        async with self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=[item for item in request.headers.items() if item[0].lower() not in _HOP_BY_HOP],
            data=request.content if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as answer:
            if fault == "lost_answers":
                await answer.read()
                return _error(*_ERROR)
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            left = int(answer.headers.get("Content-Length", 0)) // 2 if fault == "cut" else None
            async for part in answer.content.iter_any():
                await response.write(part[:left])
                left = None if left is None else max(0, left - len(part))
                if left == 0:
                    _hang_up(request)
                    return response
            await response.write_eof()
            return response


def _error(status: int, code: str, message: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


def main() -> None:
    """Serve until standard input ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # and this of each client that gave up waiting
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    asyncio.run(Proxy(f"http://{host}:{port}").serve())


if __name__ == "__main__":
    main()
