"""Deploy, watch and remove the service's application on Ray Serve, and no other."""

from __future__ import annotations

import logging
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cluster.connect import connect, named_cluster
from cluster.nodes import own_shapes, read_shapes
from cluster.own import own_ray_lives
from cluster.waiting import Reminder
from models.errors import StemsError
from serving import ray_serve
from serving.cluster_room import check_room, waiting_line
from serving.config import ServeConfig

if TYPE_CHECKING:
    from ray.serve import Application

_LOOK_SECONDS, _WATCH_SECONDS = 0.25, 5.0
_TAKE_DOWN_SECONDS = 5.0
"""How long an interrupted start waits for what it deployed; Ray Serve goes on with the rest."""
_ANSWER_SECONDS, _SETTLE_SECONDS = 15.0, 0.3

log = logging.getLogger(__name__)


class Service:
    """One application on Ray Serve.

    Args:
        config: its settings.
        application: what to deploy.
        check_open: raises StemsError where a service that listens on an address would be open to anyone.
    """

    def __init__(self, config: ServeConfig, application: Application, check_open: Callable[[str], None]) -> None:
        self._config, self._application, self._check_open = config, application, check_open
        self._own = self._began_serve = self._deploying = self._up = False
        self._deployed: float | None = None
        self._reminder = Reminder()

    def start(self) -> str:
        """Deploy the application on the Ray at hand, or on a new one, and return its URL once it answers.

        Raises:
            StemsError: it does not fit, its name or path is in use, or it cannot be started.
        """
        import ray
        from ray.exceptions import RayError

        if not ray.is_initialized() and not named_cluster():
            check_room(self._config, own_shapes(), fixed=True)  # in a second, where starting Ray takes many
        self._own = connect()
        _quiet_serve()
        check_room(self._config, read_shapes(), fixed=self._own)
        try:
            self._deploy()
            url = self._until_up()
        except (RayError, RuntimeError, TimeoutError, ValueError) as error:
            raise _not_started(str(error)) from error
        self._up = True
        return url

    def watch(self) -> None:
        """Watch the application until the process is interrupted.

        Raises:
            StemsError: another command has ended the application, or taken its place.
            KeyboardInterrupt: when it is interrupted.
        """
        while True:
            time.sleep(_WATCH_SECONDS)
            with suppress(TimeoutError):  # a Serve that is busy
                app = self._app()
                if app is None or app.deployed != self._deployed:
                    self._up = self._deploying = False
                    raise StemsError(
                        f"The application '{self._config.name}' was ended, or replaced, by another command.",
                        "Start it again, with another --name if both shall run.",
                        code="replaced",
                    )
                self._remind(app)

    def stop(self) -> None:
        """Delete the application: at once if it never started, otherwise after its running jobs."""
        if self._up:
            self._finish()
        elif not self._own:
            with _deaf():
                if self._deploying:
                    ray_serve.remove(self._config.name, _TAKE_DOWN_SECONDS)
                if self._began_serve:
                    ray_serve.end_serve_if_unused(_TAKE_DOWN_SECONDS / 2)
        # A Ray of this process's own ends with it.

    def _finish(self) -> None:
        """Graceful shutdown: replicas finish running jobs; queued jobs wait for the next service."""
        name, drain = self._config.name, self._config.drain_seconds
        time.sleep(_SETTLE_SECONDS)
        if self._own and not (own_ray_lives() and ray_serve.lives()):
            return  # the signal went to the whole process group, and has ended Ray, too
        if not ray_serve.remove(name, min(2.0, drain), self._deployed):
            print(f"Songs are being finished, for up to {drain:g} s; Ctrl-C again ends at once.", flush=True)
            ray_serve.remove(name, drain, self._deployed)
        if self._began_serve and not self._own:
            ray_serve.end_serve_if_unused(_TAKE_DOWN_SECONDS)

    def _deploy(self) -> None:
        from ray import serve
        from ray.serve.api import RunTarget

        config, running = self._config, ray_serve.look()
        if running is None:
            self._began_serve = True
            serve.start(http_options={"host": config.host, "port": config.port})
        else:
            self._join(running)
        self._deploying = True
        serve.run_many(
            [RunTarget(self._application, config.name, config.route_prefix)], wait_for_applications_running=False
        )

    def _join(self, running: ray_serve.Running) -> None:
        """Check that a shared Serve has room for the name and the prefix."""
        config = self._config
        if not running.host:
            raise StemsError(
                "Ray Serve runs on this cluster without HTTP.", "Start it with HTTP proxies.", code="not_started"
            )
        self._check_open(running.host)
        if not config.replace:
            ray_serve.check_free(running, config.name, config.route_prefix)
        elif other := ray_serve.in_the_way(running, config.name, config.route_prefix):
            ray_serve.remove(other, config.drain_seconds)
        if (running.host, running.port) != (config.host, config.port):
            log.warning("Ray Serve runs on this cluster already: its address is used, not --host and --port.")

    def _until_up(self) -> str:
        """Wait until all replicas run, or some run and the others have no resources; return the URL."""
        while True:
            app = self._app()
            if app is None:
                raise _not_started("another command has ended it")
            if app.status == "DEPLOY_FAILED":
                raise _not_started(app.message)
            if app.status == "RUNNING" or (self._remind(app) and all(copy.running for copy in app.answering)):
                self._deployed = app.deployed
                return self._url()
            time.sleep(_LOOK_SECONDS)

    def _remind(self, app: ray_serve.App) -> bool:
        """Report from time to time what waits for resources; return whether it did."""
        import ray

        line = waiting_line(app, self._config, ray.available_resources) if self._reminder.due() else ""
        if line:
            log.warning(line)
        return bool(line)

    def _app(self) -> ray_serve.App | None:
        running = ray_serve.look()
        return running.apps.get(self._config.name) if running else None

    def _url(self) -> str:
        import ray

        running = ray_serve.look()
        if running is None:
            raise _not_started("Ray Serve has ended")
        url = ray_serve.url(running, self._config.route_prefix, ray.util.get_node_ip_address())
        if not _answers(f"{url}/livez"):
            log.warning("Nothing answers at %s yet, as seen from this machine.", url)
        return url


def _answers(url: str) -> bool:
    """Whether the application answers: a proxy learns its routes a moment after it runs."""
    end = time.monotonic() + _ANSWER_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=_LOOK_SECONDS * 8):
                return True
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError) and error.code not in (404, 500, 503):
                return True  # only with a key
            time.sleep(_LOOK_SECONDS)
    return False


def _not_started(message: str) -> StemsError:
    """The error for a service that did not start, from Serve's message, which may contain tracebacks."""
    ours = re.search(r"StemsError: (.+)", message)
    errors = re.findall(r"^\s*(?:[\w.]+\.)?(\w*(?:Error|Exception)\b.*)$", message, re.MULTILINE)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = ours[1] if ours else (errors or lines or ["no reason was given"])[-1]
    return StemsError(
        f"The service did not start: {said[:400].rstrip('.')}.",
        "" if ours else "Its logs are in the newest folder of $RAY_TMPDIR/ray, or /tmp/ray, under logs/serve.",
        code="not_started",
    )


def _quiet_serve() -> None:
    """Keep Serve's own log lines off the screen, except with --debug."""
    import ray.serve  # noqa: F401 - it sets its logger's level

    if not log.isEnabledFor(logging.DEBUG):
        logging.getLogger("ray.serve").setLevel(logging.ERROR)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore signals during a short clean-up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
