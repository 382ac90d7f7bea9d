"""Clients of the HTTP API: :class:`Stems` and :class:`AsyncStems`. No torch, no Ray."""

from serving.client.client import AsyncStems, Stems

__all__ = ["AsyncStems", "Stems"]
