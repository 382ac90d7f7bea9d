"""The Ray Serve application: its deployments, and how `stems serve` runs it."""

from __future__ import annotations

import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from cluster.connect import connect, named_cluster
from cluster.nodes import NodeShape, own_shapes, read_shapes
from models.errors import StemsError
from models.song.model_check import check_model
from serving import tracing
from serving.checks import check_open, check_places
from serving.cluster_room import choose_gpus
from serving.config import ServeConfig, parse_config
from serving.http.api import create_app
from serving.service import Service
from serving.workers.backend import RayBackend
from serving.workers.deployments import GeneratorReplica, SeparatorReplica
from serving.workers.model_source import absolute_address, absolute_path, local_model, pin_model

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

_REQUESTS = 4096
"""Requests that one ingress holds at once; they mostly wait, for music or for events."""


class Ingress:
    """The API as a deployment. It has one copy, because job events are available only where the jobs run."""

    def __init__(self, config: ServeConfig, generator: DeploymentHandle, separator: DeploymentHandle) -> None:
        self._config, self._generator, self._separator = config, generator, separator
        logging.getLogger("stems.requests").setLevel(logging.INFO)
        tracing.start(config.traces, "ingress")

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._config, RayBackend(self._generator, self._separator))


def build(config: ServeConfig) -> Application:
    """The Ray Serve application: an ingress before replicas of the generator, and a separator when it is needed.

    An alias is looked up here, once: every copy of the model is of the version that it named then.
    """
    from ray import serve

    config = _settled(config)
    common = {"graceful_shutdown_wait_loop_s": 0.5, "graceful_shutdown_timeout_s": config.drain_seconds}
    generator = serve.deployment(GeneratorReplica).options(
        **_copies(config.replicas, config.most_replicas, config.slots),
        max_ongoing_requests=config.slots + 8,  # beside songs, questions of info
        ray_actor_options={"num_cpus": config.cpus_per_replica, "num_gpus": config.gpus_per_replica or 0.0},
        health_check_period_s=2,
        **common,
    )
    separator = serve.deployment(SeparatorReplica).options(
        autoscaling_config={
            "min_replicas": 0,
            "max_replicas": config.separators,
            "target_ongoing_requests": 1,
            "upscale_delay_s": 0,
            "downscale_delay_s": 120,
        },
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": config.cpus_per_separator},
        **common,
    )
    ingress = serve.deployment(serve.ingress()(Ingress)).options(
        num_replicas=1,
        max_ongoing_requests=_REQUESTS,
        # It mostly waits; reserving a core for it would take one from the model.
        ray_actor_options={"num_cpus": 0},
        **common,
    )
    return ingress.bind(config, generator.bind(config), separator.bind(config))


def _copies(least: int, most: int, slots: int) -> dict[str, Any]:
    """Autoscaling target: enough copies to keep three quarters of the slots in use, queue included."""
    if most == least:
        return {"num_replicas": least}
    target = max(1.0, 0.75 * slots)
    return {"autoscaling_config": {"min_replicas": least, "max_replicas": most, "target_ongoing_requests": target}}


def _settled(config: ServeConfig) -> ServeConfig:
    """The settings with absolute paths, and a model version in place of an alias."""
    tracking = absolute_address(config.tracking)
    return config.model_copy(
        update={
            "tracking": tracking,
            "state": absolute_address(config.state),
            "results": absolute_path(config.results),
            "cache": absolute_path(config.cache),
            "model": pin_model(absolute_path(config.model), tracking),
        }
    )


def application(settings: dict[str, object]) -> Application:
    """Build the application for ``serve deploy``, from ``import_path: serving.app:application`` and its ``args``."""
    config = parse_config(settings)
    return build(choose_gpus(config, _shapes()))


def start(config: ServeConfig) -> str:
    """Start the service on the Ray at hand, or on a new one, and return its URL once it answers.

    Raises:
        StemsError: what :func:`run` raises before it is up.
    """
    return _service(config).start()


def run(config: ServeConfig) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        StemsError: the model cannot be loaded, a setting does not fit this machine or cluster, or the service was
            ended by another command.
        KeyboardInterrupt: it was interrupted before it was up.
    """
    service, up = _service(config), False
    try:
        url = service.start()
        up = True
        print(f"The page is at {url}/ and the API at {url}/docs. Ctrl-C ends the service. From a shell:\n")
        print(f"  curl -f {url}/v1/songs -H 'Content-Type: application/json' -H 'Prefer: wait=60' \\")
        print('    -d \'{"prompt": "warm bass and soft drums", "seconds": 5}\' -o song.zip\n', flush=True)
        service.watch()
    except KeyboardInterrupt:
        if not up:
            raise
    finally:
        service.stop()


def _service(config: ServeConfig) -> Service:
    """Build the service after all checks that need no Ray."""
    config = _settled(config)
    check_open(config, config.host)
    if not named_cluster():
        _check_port(config)
    check_places(config)
    check_model(local_model(config.model, config.tracking, config.cache))
    config = choose_gpus(config, _shapes())
    return Service(config, build(config), partial(check_open, config))


def _shapes() -> tuple[NodeShape, ...]:
    """Shapes of the connected cluster's nodes, or of this machine if a Ray will start on it."""
    import ray

    if not ray.is_initialized() and not named_cluster():
        return own_shapes()
    connect()
    return read_shapes()


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
