"""Processes for tests. They are forked from one that has imported what takes long, and so start at once."""

from __future__ import annotations

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "deltalake", "pipelines.table.token_table", "helpers.workers"])
