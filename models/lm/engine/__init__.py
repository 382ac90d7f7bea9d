"""The decoding engine: continuous batching over static rows, a KV cache, guidance as pairs of rows.

Begin with :mod:`.engine`.
"""
