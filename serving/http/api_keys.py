"""API keys: created once, shown once, stored as a hash."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from models.errors import StemsError
from serving.config import KeyConfig, StateConfig
from serving.jobs.database import keys, open_database

PREFIX = "stems_"
_REMEMBER_S = 5.0
"""How long an answer of the database is good for: a key that is removed works that much longer."""
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Known:
    """Result of a key lookup: whether the service requires keys, and the name of a valid key."""

    wanted: bool
    name: str | None


class KeyRing:
    """Looks up the names of keys. Keys are long and random, so a plain hash reveals nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[str, tuple[float, Known]] = {}

    async def known(self, key: str) -> Known:
        """Look a key up, in the cache first."""
        remembered = self.remembered(key)
        return await asyncio.to_thread(self.look, key) if remembered is None else remembered

    def remembered(self, key: str) -> Known | None:
        """The cached result of :meth:`look`."""
        when, known = self._seen.get(_hash(key), (-_REMEMBER_S, None))
        return known if time.monotonic() - when < _REMEMBER_S else None

    def look(self, key: str) -> Known:
        """Look a key up in the database."""
        with self._engine.connect() as connection:
            wanted = bool(connection.execute(select(func.count()).select_from(keys)).scalar())
            name = connection.execute(select(keys.c.name).where(keys.c.sha256 == _hash(key))).scalar()
        if len(self._seen) > _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[_hash(key)] = time.monotonic(), Known(wanted, name)
        return self._seen[_hash(key)][1]


def add_key(config: KeyConfig) -> None:
    """Create a key and print it."""
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
    """Revoke a key; it takes effect within seconds."""
    with open_database(config.state).begin() as connection:
        if not connection.execute(delete(keys).where(keys.c.name == config.name)).rowcount:
            raise StemsError(f"'{config.name}' has no key.", "See `stems keys list`.", code="missing", field="name")


def list_keys(config: StateConfig) -> None:
    """Print the names of all keys."""
    table = Table("name", "made")
    with open_database(config.state).connect() as connection:
        for row in connection.execute(select(keys).order_by(keys.c.name)).mappings():
            table.add_row(row["name"], time.strftime("%Y-%m-%d %H:%M", time.gmtime(row["created"])))
    Console().print(table)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
