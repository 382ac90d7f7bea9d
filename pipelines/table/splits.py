"""Which songs train and which validate: decided by their sound, once and for all.

Recordings with similar signatures (:mod:`models.audio.signature`) are in one split, so that no validation song was
trained on under another name.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.audio.signature import EMPTY, SLOTS, near, similarity, slots

TRAIN, VALID = "train", "valid"
SUNG = "sung"
"""The split of a song with vocals: it neither trains nor validates, and does not affect other songs."""

_NEIGHBOURS = 3  # songs of a bucket that each song is compared with
_BANDS_AT_ONCE = 16
_PAIRS_AT_ONCE = 4096
_STEP = 4  # frames of 16 ms: resolution of the time between two slots


def split_of(song_id: str, valid_share: float) -> str:
    """``valid`` for a share of the songs, by a hash of the song's id; ``train`` for the rest.

    A song keeps its split when others are added, and a larger share keeps the smaller share's songs.
    """
    draw = int.from_bytes(hashlib.blake2b(f"split:{song_id}".encode(), digest_size=8).digest(), "big")
    return VALID if draw < valid_share * 2**64 else TRAIN


def splits(songs: Mapping[str, bytes], stored: Mapping[str, str], valid_share: float) -> dict[str, str]:
    """The split of each song; nothing depends on the order of the songs.

    A song with a stored split keeps it. A new one takes the split of the most similar stored song of its group
    (:func:`near_groups`; ties go to the smallest id); a group that is new as a whole is drawn by its name.

    Args:
        songs: signatures of all known songs, by song id.
        stored: splits by song id; :data:`SUNG` is ignored for the rest of the group.
        valid_share: share of the groups that validate.
    """
    result = {song: stored[song] for song in songs if song in stored}
    if len(result) == len(songs):
        return result
    members = defaultdict(list)
    for song, group in near_groups(songs).items():  # in order of ids
        members[group].append(song)
    for group, together in members.items():
        settled = [song for song in together if stored.get(song, SUNG) != SUNG]
        sides = {stored[song] for song in settled}
        for song in together:
            if song in stored:
                continue
            if not settled:
                result[song] = split_of(group, valid_share)
            elif len(sides) == 1:
                result[song] = stored[settled[0]]
            else:  # a later song joined songs of both splits
                result[song] = stored[_most_similar(song, settled, songs)]
    return result


def _most_similar(song: str, others: list[str], signatures: Mapping[str, bytes]) -> str:
    # Of equals, max takes the first.
    return max(others, key=lambda other: similarity(signatures[song], signatures[other]))


def near_groups(signatures: Mapping[str, bytes]) -> dict[str, str]:
    """For each song, in order of ids, the smallest id of its group: songs joined by a chain of near ones.

    No two songs are compared unless they share a bucket: two neighbouring slots of their signatures with the same
    values, at the same distance in time. Of songs that are just near, 99 of 100 share one of the 256 such pairs; of
    songs of similarity 0.2, all but 2 of 10,000. In a bucket, each song is compared with the next
    three by id, so work grows with songs, not with their pairs, even if all songs share one bucket; many copies of
    one song still form one group by a chain.
    """
    names = sorted(signatures)
    signed = [name for name in names if signatures[name] != EMPTY]
    groups = {name: name for name in names}
    if len(signed) > 1:
        labels = _components(slots([signatures[name] for name in signed]))
        first = np.full(len(signed), len(signed))
        np.minimum.at(first, labels, np.arange(len(signed)))
        groups.update({name: signed[i] for name, i in zip(signed, first[labels], strict=True)})
    return groups


def _components(songs: np.ndarray) -> np.ndarray:
    """The component of each song, from signatures uint16 ``[songs, 2, SLOTS]``."""
    count = len(songs)
    labels = np.arange(count)
    edges = [np.zeros((0, 2), np.int64)]
    for candidates in _candidates(songs):
        open_ones = candidates[labels[candidates[:, 0]] != labels[candidates[:, 1]]]
        for start in range(0, len(open_ones), _PAIRS_AT_ONCE):
            some = open_ones[start : start + _PAIRS_AT_ONCE]
            edges.append(some[near(songs[some[:, 0]], songs[some[:, 1]])])
        joined = np.concatenate(edges)
        graph = coo_array((np.ones(len(joined), np.int8), (joined[:, 0], joined[:, 1])), shape=(count, count))
        labels = connected_components(graph, directed=False)[1]
    return labels


def _candidates(songs: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs of songs that share a bucket, int64 ``[pairs, 2]``, a few bands at a time; no pair twice in one band."""
    count = len(songs)
    for start in range(0, SLOTS, _BANDS_AT_ONCE):
        found = [np.zeros(0, np.int64)]
        for slot in range(start, start + _BANDS_AT_ONCE):
            keys = _keys(songs, slot)
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            for step in range(1, min(_NEIGHBOURS, count - 1) + 1):
                same = keys[step:] == keys[:-step]
                found.append(order[:-step][same] * count + order[step:][same])
        codes = np.unique(np.concatenate(found))
        yield np.stack([codes // count, codes % count], axis=1)


def _keys(songs: np.ndarray, slot: int) -> np.ndarray:
    """The bucket of each song for a pair of slots: both values and the time between, uint64 ``[songs]``."""
    values, times = (songs[:, part, [slot, (slot + 1) % SLOTS]] for part in (0, 1))
    apart = (times[:, 1] - times[:, 0]) // _STEP
    return values[:, 0].astype(np.uint64) << 32 | values[:, 1].astype(np.uint64) << 16 | apart
