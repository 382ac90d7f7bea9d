"""The address of a cluster: what it means, and whether a Ray answers there."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable

from models.errors import StemsError

PATIENCE = 5.0
"""Seconds that a cluster may take to answer."""

_PAUSE = 0.2
_CLIENT = "ray://"
_CLIENT_PORT = 10001


def reach(named: str, seconds: float = PATIENCE) -> str:
    """The address to give to Ray, once a Ray has answered there.

    Args:
        named: HOST:PORT, ``ray://HOST:PORT``, or ``auto`` for the cluster of this machine.
        seconds: how long to try.

    Raises:
        StemsError: the address is not valid, no server answers, or the server accepts no connection to Ray.
    """
    end = time.monotonic() + seconds
    host, port = _place(named)
    if not answers(host, port, seconds):
        raise _silent(named, f"nothing answers at {host}:{port}")
    reason = _fault(host, port, max(1.0, end - time.monotonic()), client=named.startswith(_CLIENT))
    if reason:
        raise _silent(named, reason)
    return named if named.startswith(_CLIENT) else _joined(host, port)


def answers(
    host: str,
    port: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether something accepts TCP connections there within some seconds; it may still be starting."""
    end = clock() + seconds
    while (left := end - clock()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left):
                return True
        except OSError:
            pause(min(_PAUSE, max(0.0, end - clock())))
    return False


def _place(named: str) -> tuple[str, int]:
    """Host and port of an address."""
    if named == "auto":
        return _place(_found_here())
    scheme, _, rest = named.rpartition("://")
    place = re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?/?", rest)
    port = int(place[2]) if place and place[2] else (_CLIENT_PORT if scheme else 0)
    if place is None or not 0 < port < 2**16 or scheme not in ("", "ray"):
        raise StemsError(
            f"RAY_ADDRESS={named} is not the address of a Ray cluster.",
            "Write HOST:PORT (the port is 6379 unless `ray start` was given another), ray://HOST:PORT, or auto; "
            "unset it to use this machine alone.",
            code="cluster",
        )
    return place[1].strip("[]"), port


def _found_here() -> str:
    """The cluster of this machine: what `ray start` wrote down last. Other people's own Rays are not in that file."""
    from ray._private.utils import read_ray_address

    found = read_ray_address()
    if found is None:
        raise StemsError(
            "RAY_ADDRESS=auto, and no Ray cluster was started on this machine.",
            "Start one with `ray start --head`, or unset RAY_ADDRESS to have a Ray for this command alone.",
            code="cluster",
        )
    return str(found)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fault(host: str, port: int, seconds: float, *, client: bool) -> str:
    """Why this process cannot join the server; empty if it can."""
    reason = _ask(host, port, seconds, client=client)
    if reason == _NO_TOKEN and "RAY_AUTH_MODE" not in os.environ:
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

        logger = logging.getLogger("ray._private.authentication")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            enabled = maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        finally:
            logger.setLevel(level)
        if enabled:
            return _ask(host, port, seconds, client=client)
    return reason


_NO_TOKEN = "it wants a token that this process does not have (~/.ray/auth_token, or RAY_AUTH_TOKEN)"


def _ask(host: str, port: int, seconds: float, *, client: bool) -> str:
    """One call that any Ray answers. Ray's own connection would be tried without end, and cannot be interrupted."""
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc

    with init_grpc_channel(_joined(host, port)) as channel:
        try:
            if client:
                ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(ping, timeout=seconds)
            else:
                alive = gcs_service_pb2.CheckAliveRequest()
                gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).CheckAlive(alive, timeout=seconds)
        except grpc.RpcError as error:
            said = error.code()
            if said == grpc.StatusCode.UNAUTHENTICATED:
                return _NO_TOKEN
            status = grpc.StatusCode
            if said in (status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.UNIMPLEMENTED):
                return f"the server at {host}:{port} is not a Ray cluster, or is not healthy"
    return ""


def _silent(named: str, reason: str) -> StemsError:
    return StemsError(
        f"RAY_ADDRESS={named}: {reason}.",
        "Start that cluster or name another one; unset RAY_ADDRESS to use this machine alone.",
        code="cluster",
    )
