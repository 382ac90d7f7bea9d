"""Which songs train and which validate: decided by the song alone, for ever."""

from __future__ import annotations

import hashlib

TRAIN, VALID = "train", "valid"


def split_of(song_id: str, valid_share: float) -> str:
    """``valid`` for a share of the songs, by a hash of the song's id; ``train`` for the rest.

    A song keeps its split when others are added, and a larger share keeps the smaller share's songs.
    """
    draw = int.from_bytes(hashlib.blake2b(f"split:{song_id}".encode(), digest_size=8).digest(), "big")
    return VALID if draw < valid_share * 2**64 else TRAIN
