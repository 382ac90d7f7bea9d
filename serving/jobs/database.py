"""What the service remembers: one database of jobs and keys, in SQLite or Postgres."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    false,
    make_url,
)
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from models.errors import StemsError

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("request", JSON, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("request_id", String(200), nullable=False),
    Column("inline", Boolean, nullable=False),
    Column("idempotency", String(255)),
    Column("fingerprint", String(64), nullable=False),
    Column("model", String(64), nullable=False),
    Column("trace", String(128), nullable=False),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("expires", Float, index=True),
    Column("frames", Integer, nullable=False),
    Column("of", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("problem", JSON),
    Column("manifest", JSON),
    Column("keeper", String(32), nullable=False),
    Column("lease", Float, nullable=False),
    Column("webhook_due", Float, index=True),
    Column("webhook_tries", Integer, nullable=False),
    UniqueConstraint("owner", "idempotency"),
)
"""Times are seconds since 1970. ``keeper`` is the process that plays a job, until ``lease`` is over."""

keys = Table(
    "api_keys",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("created", Float, nullable=False),
)


def open_database(address: str) -> Engine:
    """Connect, and make what is missing.

    Raises:
        StemsError: the address is none, or the database cannot be reached.
    """
    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).expanduser().absolute().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, pool_pre_ping=True)
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _tune_sqlite)
        _create(engine)
    except (ArgumentError, ModuleNotFoundError) as error:
        raise _unusable(address, error, "Write sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.") from error
    except (SQLAlchemyError, OSError) as error:
        raise _unusable(address, error, "Check that it runs and may be written.") from error
    return engine


def _create(engine: Engine) -> None:
    try:
        metadata.create_all(engine)
    except OperationalError:
        metadata.create_all(engine)  # another process made the tables at the same moment
    with engine.begin() as connection:  # tables that are there could still be read-only
        connection.execute(jobs.update().where(false()).values(state="queued"))


def _tune_sqlite(connection: object, _: object) -> None:
    # Readers do not wait for the writer, and writers wait for each other.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _unusable(address: str, error: Exception, hint: str) -> StemsError:
    try:
        shown = make_url(address).render_as_string(hide_password=True)
    except ArgumentError:
        shown = "state"
    said = (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
    return StemsError(
        f"The database '{shown}' (--state) cannot be used: {said}.", hint, code="unreachable", field="state"
    )
