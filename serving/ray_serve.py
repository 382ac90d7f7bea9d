"""Manage one application on a Ray Serve that others may share."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import StemsError

if TYPE_CHECKING:
    from ray.actor import ActorHandle

_ANSWER_SECONDS = 5.0
_PAUSE = 0.25
_LOOPBACK, _ANYWHERE = ("127.0.0.1", "localhost", "::1"), ("0.0.0.0", "::")


@dataclass(frozen=True)
class Copies:
    """Replica counts of a deployment: wanted, running, and not placed yet."""

    wanted: int = 0
    running: int = 0
    unplaced: int = 0


@dataclass(frozen=True)
class App:
    """An application on Serve.

    Args:
        prefix: its route prefix, or nothing where it is not reached over HTTP.
        status: Serve's word for it, such as ``RUNNING``.
        message: what Serve says about it.
        deployed: when it was deployed, in seconds since 1970: another deployment of the same name differs in it.
        copies: by deployment.
    """

    prefix: str
    status: str
    message: str = ""
    deployed: float = 0.0
    copies: Mapping[str, Copies] = field(default_factory=dict)

    @property
    def answering(self) -> list[Copies]:
        """The deployments that must run for the application to answer."""
        return [copies for copies in self.copies.values() if copies.wanted]


@dataclass(frozen=True)
class Running:
    """The applications on a cluster's Serve.

    Args:
        host: the address that its proxies listen on; empty where they take no HTTP.
        port: their port.
        proxies: addresses of the machines that they run on.
        apps: applications by name.
    """

    host: str
    port: int
    proxies: Collection[str]
    apps: Mapping[str, App]


def look() -> Running | None:
    """The applications on the connected cluster's Serve; None if Serve does not run.

    Raises:
        TimeoutError: Serve does not answer.
    """
    import ray

    controller = _controller()
    if controller is None:
        return None
    try:
        asked = [controller.get_serve_instance_details.remote(), controller.get_http_config.remote()]
        details, http = ray.get(asked, timeout=_ANSWER_SECONDS)
    except ray.exceptions.RayActorError:
        return None
    return Running(
        host=http.host or "",
        port=http.port,
        proxies=sorted({proxy["node_ip"] for proxy in details["proxies"].values()}),
        apps={name: _read_app(app) for name, app in details["applications"].items()},
    )


def _read_app(app: Mapping[str, Any]) -> App:
    copies = {
        name: Copies(
            wanted=deployment.get("target_num_replicas") or 0,
            running=sum(_word(replica["state"]) == "RUNNING" for replica in deployment["replicas"]),
            unplaced=sum(not replica.get("node_id") for replica in deployment["replicas"]),
        )
        for name, deployment in app["deployments"].items()
    }
    return App(
        prefix=app.get("route_prefix") or "",
        status=_word(app["status"]),
        message=app.get("message") or "",
        deployed=app.get("last_deployed_time_s") or 0.0,
        copies=copies,
    )


def _word(state: Any) -> str:
    return str(getattr(state, "value", state))


def check_free(running: Running, name: str, prefix: str) -> None:
    """Raise StemsError if another application has the name or the route prefix."""
    apps = {known: app for known, app in running.apps.items() if app.status != "DELETING"}
    if name in apps:
        raise StemsError(
            f"An application '{name}' runs on this cluster's Ray Serve already, at {apps[name].prefix or 'no path'}.",
            "Give this one another --name and --route-prefix, or take its place with --replace.",
            code="in_use",
            field="name",
        )
    if holder := in_the_way(running, name, prefix):
        raise StemsError(
            f"The application '{holder}' on this cluster's Ray Serve answers at {prefix} already.",
            "Give this one another --route-prefix, such as /music, or take its place with --replace.",
            code="in_use",
            field="route_prefix",
        )


def in_the_way(running: Running, name: str, prefix: str) -> str:
    """The application of another name that has the route prefix; empty where there is none."""
    return next(
        (
            known
            for known, app in running.apps.items()
            if known != name and app.prefix == prefix and app.status != "DELETING"
        ),
        "",
    )


def url(running: Running, prefix: str, here: str) -> str:
    """An application's URL; on this machine if a proxy runs here.

    Args:
        running: what runs.
        prefix: the application's.
        here: this machine's address.
    """
    host, proxies = running.host, running.proxies
    if host in _ANYWHERE:
        host = "127.0.0.1" if here in proxies or not proxies else min(proxies)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{running.port}{prefix.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether the address is reachable only from this machine."""
    return host in _LOOPBACK or host.startswith("127.")


def remove(name: str, seconds: float, deployed: float | None = None) -> bool:
    """Delete one application and wait for it; after the time limit, Serve continues alone.

    Args:
        name: of the application.
        seconds: how long to wait.
        deployed: end it only if it is still this deployment of the name.

    Returns:
        Whether it is gone.
    """
    import ray

    end, controller = time.monotonic() + seconds, _controller()
    if controller is None or (deployed is not None and not _is_ours(name, deployed)):
        return True
    controller.delete_apps.remote([name])
    while True:
        try:
            running = look()
        except (TimeoutError, ray.exceptions.RayError):
            running = Running("", 0, (), {name: App("", "")})
        if running is None or name not in running.apps:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)


def lives() -> bool:
    """Whether Serve's controller responds."""
    import ray

    try:
        return look() is not None
    except (TimeoutError, ray.exceptions.RayError):
        return False


def _is_ours(name: str, deployed: float) -> bool:
    running = look()
    return running is not None and name in running.apps and running.apps[name].deployed == deployed


def end_serve_if_unused(seconds: float) -> None:
    """Shut Serve down if it has no application left."""
    running, controller = look(), _controller()
    if running is None or running.apps or controller is None:
        return
    # A call that waits for the end would be repeated when the controller ends in the middle of it.
    controller.graceful_shutdown.remote(wait=False)
    end = time.monotonic() + seconds
    while _controller() is not None and time.monotonic() < end:
        time.sleep(_PAUSE)


def _controller() -> ActorHandle | None:
    import ray
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    try:
        return ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    except ValueError:
        return None
