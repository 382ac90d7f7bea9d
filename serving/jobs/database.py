"""The database of jobs and API keys, in SQLite or Postgres."""

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
    inspect,
    make_url,
    text,
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
    Column("inline", Boolean, key="client_waits", nullable=False),
    Column("idempotency", String(255)),
    Column("fingerprint", String(64), nullable=False),
    Column("model", String(64), nullable=False),
    Column("trace", String(128), nullable=False),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("expires", Float, index=True),
    Column("frames", Integer, nullable=False),
    Column("of", Integer, key="total_frames", nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("problem", JSON),
    Column("manifest", JSON),
    Column("keeper", String(32), key="lease_holder", nullable=False),
    Column("lease", Float, nullable=False),
    Column("webhook_due", Float, index=True),
    Column("webhook_tries", Integer, nullable=False),
    Column("timings", JSON),
    UniqueConstraint("owner", "idempotency"),
)
"""Times are seconds since 1970. ``keeper`` is the process that holds a job, until the time in ``lease``.

A column that comes later is nullable, so that services of the version before can go on writing to the table. Three
columns have another name in the code (their ``key``) than in databases, where names never change.
"""

keys = Table(
    "api_keys",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("created", Float, nullable=False),
)


def open_database(address: str) -> Engine:
    """Connect, and create the tables and columns that are missing.

    Raises:
        StemsError: the address is not valid, or the database cannot be reached.
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
        raise _unusable(address, error, "Use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.") from error
    except (SQLAlchemyError, OSError) as error:
        raise _unusable(address, error, "Check that it runs and that the service can write to it.") from error
    return engine


def _create(engine: Engine) -> None:
    try:
        metadata.create_all(engine)
    except OperationalError:
        metadata.create_all(engine)  # another process created the tables at the same moment
    _add_columns(engine)
    with engine.begin() as connection:  # existing tables can be read-only
        connection.execute(jobs.update().where(false()).values(state="queued"))


def _add_columns(engine: Engine) -> None:
    """Add the columns that a database of an earlier version lacks."""
    there = _column_names(engine)
    for column in jobs.columns:
        if column.name in there:
            continue
        kind = column.type.compile(engine.dialect)
        try:
            with engine.begin() as connection:
                connection.execute(text(f"ALTER TABLE {jobs.name} ADD COLUMN {column.name} {kind}"))
        except SQLAlchemyError:
            if column.name not in _column_names(engine):  # else another process added it at the same moment
                raise


def _column_names(engine: Engine) -> set[str]:
    return {column["name"] for column in inspect(engine).get_columns(jobs.name)}


def _tune_sqlite(connection: object, _: object) -> None:
    # Readers do not wait for the writer; writers wait for each other.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _unusable(address: str, error: Exception, hint: str) -> StemsError:
    try:
        shown = make_url(address).render_as_string(hide_password=True)
    except ArgumentError:
        shown = "state"
    reason = (str(error) or type(error).__name__).splitlines()[0][:200].rstrip(".")
    return StemsError(
        f"The database '{shown}' (--state) cannot be used: {reason}.", hint, code="unreachable", field="state"
    )
