"""The composition: which deployments make the service, and how it is run on this machine."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

from fastapi import FastAPI

from models.assembly import ABOUT
from models.errors import StemsError
from serving.api import create_app
from serving.config import ServeConfig, parse_config
from serving.generator import Generator, Replicas
from serving.registry import absolute_tracking, local_model, pin_model

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

APP_NAME = "stems"

# Requests that ask nothing of the model (the page, health, results) need room beside those that do.
_OTHER_REQUESTS = 64


class Ingress:
    """The API as a deployment. One copy: it holds the recent results."""

    def __init__(self, config: ServeConfig, generator: DeploymentHandle) -> None:
        self._config, self._generator = config, generator

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._config, Replicas(self._generator))


def build(config: ServeConfig) -> Application:
    """The Ray Serve application: an ingress before replicas of the generator.

    An alias is looked up here, once: every copy of the model is of the version that it named then.
    """
    from ray import serve

    generator = serve.deployment(Generator).options(
        num_replicas=config.replicas,
        max_ongoing_requests=1,
        max_queued_requests=config.max_queued,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": config.cpus_per_replica, "num_gpus": config.gpus_per_replica},
    )
    ingress = serve.deployment(serve.ingress()(Ingress)).options(
        num_replicas=1,
        max_ongoing_requests=config.replicas + config.max_queued + _OTHER_REQUESTS,
        graceful_shutdown_wait_loop_s=0.5,
        # It mostly waits; reserving a core for it would take one from the model.
        ray_actor_options={"num_cpus": 0},
    )
    device = "cuda" if config.gpus_per_replica else "cpu"
    tracking = absolute_tracking(config.tracking)
    model = pin_model(config.model, tracking)
    return ingress.bind(config, generator.bind(model, device, tracking, config.cache))


def application(settings: dict[str, object]) -> Application:
    """What ``serve deploy`` builds from ``import_path: serving.app:application`` and its ``args``."""
    return build(parse_config(settings))


def start(config: ServeConfig) -> str:
    """Start the service on the Ray at hand, or on a new local one, and return its URL once it is ready.

    Raises:
        StemsError: the port is taken, or the model cannot be loaded.
    """
    from ray import serve

    _check_model(config)
    _check_port(config)
    serve.start(http_options={"host": config.host, "port": config.port})
    try:
        serve.run(build(config), name=APP_NAME, route_prefix="/")
    except RuntimeError as error:
        raise StemsError(
            f"The service did not start: {str(error).splitlines()[0]}",
            "The log above says why.",
            code="not_started",
            field="model",
        ) from error
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    return f"http://{host}:{config.port}"


def run(config: ServeConfig) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from ray import serve

    url = start(config)
    print(f"The page is at {url}/ and the API at {url}/docs. Ctrl-C ends the service. From a shell:\n")
    print(f"  curl -f {url}/v1/songs -H 'Content-Type: application/json' \\")
    print('    -d \'{"prompt": "warm bass and soft drums", "seconds": 5}\' -o song.zip\n', flush=True)
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    ended.wait()
    serve.shutdown()


def _check_model(config: ServeConfig) -> None:
    if not (local_model(config.model, config.tracking, config.cache) / ABOUT).is_file():
        raise StemsError(
            f"'{config.model}' is not a model: it has no assembly.json.",
            "Give a model directory, such as the one that `stems demo` makes.",
            code="missing",
            field="model",
        )


def _check_port(config: ServeConfig) -> None:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
    except OSError as error:
        raise StemsError(
            f"Cannot listen on {config.host}:{config.port} ({error.strerror}).",
            "Choose another port, or end what uses it.",
            code="port",
            field="port",
        ) from error
