"""Create a Delta table, and open one of its versions.

Functions import deltalake themselves: it takes 60 ms, which commands that open no table do not pay.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipelines.table.delta.commit import CHECKPOINT_EVERY
from pipelines.table.delta.data_files import Version
from pipelines.table.delta.storage import DeltaStorage


def table_exists(storage: DeltaStorage) -> bool:
    """Whether the table has been created."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    def found() -> bool:
        try:  # `is_deltatable` would block all Python threads while it waits for an object store
            DeltaTable(storage.uri, storage_options=storage.options, without_files=True)
        except TableNotFoundError:
            return False
        return True

    return storage.retried(found)


def create_table(
    storage: DeltaStorage, schema: pa.Schema, key: tuple[str, ...], configuration: Mapping[str, str]
) -> None:
    """Create the table empty; do nothing where it exists.

    Args:
        storage: where the table lies.
        schema: of its rows.
        key: columns whose bounds the log records for every data file.
        configuration: the table's own entries in its Delta configuration.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    if table_exists(storage):
        return
    settings = {
        **configuration,
        "delta.checkpointInterval": str(CHECKPOINT_EVERY),
        # Readers take a column without statistics for null everywhere, unless the table says to expect none.
        "delta.dataSkippingStatsColumns": ",".join(key),
        "delta.enableExpiredLogCleanup": "false",  # a version stays readable until a vacuum deletes its files
    }

    def make() -> None:
        try:
            DeltaTable.create(
                storage.uri,
                schema,
                mode="error",
                configuration=settings,
                storage_options=storage.options,
                raise_if_key_not_exists=False,
            )
        except DeltaError:
            if not table_exists(storage):  # otherwise another writer was quicker
                raise

    storage.retried(make)


def open_version(
    storage: DeltaStorage, key: tuple[str, ...], number: int | None = None
) -> tuple[Version, dict[str, str]]:
    """Open a version, the newest by default, with the table's Delta configuration.

    Raises:
        StemsError: there is no table or no such version, or the storage does not answer.
    """
    from deltalake import DeltaTable

    table = storage.retried(lambda: DeltaTable(storage.uri, number, storage.options), number)
    return Version(table, storage.filesystem, key), dict(table.metadata().configuration)
