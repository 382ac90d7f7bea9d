"""API keys: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
import time

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from models.errors import StemsError
from serving.config import KeyConfig, StateConfig
from serving.database import keys, open_database

PREFIX = "stems_"
_REMEMBER_S = 5.0
"""How long an answer of the database is good for: a key that is removed works that much longer."""


class KeyRing:
    """Whose key is it? Keys are random and long, so that a plain hash of them tells nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[str, tuple[float, str | None]] = {}
        self._any: tuple[float, bool] = (0.0, False)

    def wanted(self) -> bool:
        """Whether requests need a key: as soon as there is one."""
        when, wanted = self._any
        if time.monotonic() - when > _REMEMBER_S or not when:
            with self._engine.connect() as connection:
                wanted = bool(connection.execute(select(func.count()).select_from(keys)).scalar())
            self._any = (time.monotonic(), wanted)
        return wanted

    def owner(self, key: str) -> str | None:
        """The name of a key; None if it is not known."""
        hashed = _hash(key)
        when, name = self._seen.get(hashed, (0.0, None))
        if time.monotonic() - when > _REMEMBER_S or not when:
            with self._engine.connect() as connection:
                name = connection.execute(select(keys.c.name).where(keys.c.sha256 == hashed)).scalar()
            if len(self._seen) > 10_000:  # of guesses
                self._seen.clear()
            self._seen[hashed] = (time.monotonic(), name)
        return name


def add_key(config: KeyConfig) -> None:
    """Make a key and print it."""
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        with open_database(config.state).begin() as connection:
            connection.execute(insert(keys).values(name=config.name, sha256=_hash(key), created=time.time()))
    except IntegrityError as error:
        raise StemsError(
            f"'{config.name}' has a key.", "Remove it first: `stems keys remove`.", field="name"
        ) from error
    Console(stderr=True).print(f"The key of '{config.name}'. It is not shown again:")
    print(key)


def remove_key(config: KeyConfig) -> None:
    """Make a key useless, within seconds."""
    with open_database(config.state).begin() as connection:
        if not connection.execute(delete(keys).where(keys.c.name == config.name)).rowcount:
            raise StemsError(f"'{config.name}' has no key.", "See `stems keys list`.", code="missing", field="name")


def list_keys(config: StateConfig) -> None:
    """Print whose keys there are."""
    table = Table("name", "made")
    with open_database(config.state).connect() as connection:
        for row in connection.execute(select(keys).order_by(keys.c.name)).mappings():
            table.add_row(row["name"], time.strftime("%Y-%m-%d %H:%M", time.gmtime(row["created"])))
    Console().print(table)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
