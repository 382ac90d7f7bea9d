"""OpenTelemetry: one trace from a request to the decoding of its song, across processes and restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.propagate import extract, inject
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from serving.timings import StageClock

_tracer = trace.get_tracer("stems")


def start(address: str, name: str) -> None:
    """Send this process's spans to a collector; without an address, spans are not recorded."""
    if not address or hasattr(trace.get_tracer_provider(), "add_span_processor"):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": f"stems-{name}"}))
    exporter = OTLPSpanExporter(endpoint=address, timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, parent: str = "", *, server: bool = False, **attributes: AttributeValue) -> Iterator[Span]:
    """A span around the block; its parent is ``parent`` (a W3C ``traceparent``), or the current span."""
    context = extract({"traceparent": parent}) if parent else None
    kind = SpanKind.SERVER if server else SpanKind.INTERNAL
    with _tracer.start_as_current_span(name, context, kind, attributes) as current:
        yield current


def record(name: str, began: float, ended: float, parent: str = "", **attributes: AttributeValue) -> None:
    """A span of the past, between two times in seconds since 1970."""
    context = extract({"traceparent": parent}) if parent else None
    past = _tracer.start_span(name, context, SpanKind.INTERNAL, attributes, start_time=_ns(began))
    past.end(_ns(ended))


def record_stages(clock: StageClock) -> None:
    """A span for each stage that a clock has measured, within the current span.

    A span reaches from the beginning of the stage to its end; ``seconds`` is the time that the stage really took.
    """
    for stage, (began, ended) in clock.extents.items():
        record(stage, began, ended, seconds=clock.seconds[stage])


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def here() -> str:
    """The ``traceparent`` of the current span; empty if there is none."""
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent", "")


def parent_of(headers: Mapping[str, str]) -> str:
    """The ``traceparent`` header of a request."""
    return headers.get("traceparent", "")[:128]
