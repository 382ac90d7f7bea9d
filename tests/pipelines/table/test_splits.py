from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio.signature import EMPTY, NEAR, SLOTS, similarity
from pipelines.table.splits import SUNG, TRAIN, VALID, near_groups, split_of, splits

Made = tuple[dict[str, bytes], dict[str, int]]
RNG = np.random.default_rng


def recording(seed: int) -> np.ndarray:
    return RNG([1, seed]).integers(0, 2**16, (2, SLOTS), np.uint16)


def version(of: np.ndarray, seed: int, share: float = 0.7) -> np.ndarray:
    """Another file of a recording: it starts at another time, and only a share of the slots agrees."""
    rng = RNG([2, seed])
    other = rng.integers(0, 2**16, (2, SLOTS), np.uint16)
    shifted = of + np.array([[0], [rng.integers(2**16)]], np.uint16)
    return np.where(rng.random(SLOTS) < share, shifted, other)


def name(seed: int) -> str:
    return RNG([3, seed]).bytes(8).hex()


def catalog(sizes: list[int]) -> Made:
    """Signatures of as many files of each recording as said; and which recording each is."""
    signatures, recordings = {}, {}
    for number, size in enumerate(sizes):
        for copy in range(size):
            seed = 100 * number + copy
            signatures[name(seed)] = version(recording(number), seed).tobytes()
            recordings[name(seed)] = number
    return signatures, recordings


def sides(split: dict[str, str], recordings: dict[str, int]) -> dict[int, set[str]]:
    return {number: {split[song] for song in split if recordings[song] == number} for number in recordings.values()}


CATALOGS = st.lists(st.integers(1, 5), min_size=1, max_size=8).map(catalog)


@settings(max_examples=30, deadline=None)
@given(CATALOGS, st.randoms(use_true_random=False))
def test_files_of_one_recording_are_one_group_named_by_its_smallest_id(made: Made, random: Random) -> None:
    signatures, recordings = made
    shuffled = list(signatures.items())
    random.shuffle(shuffled)
    groups = near_groups(dict(shuffled))
    assert groups == {
        song: min(other for other in recordings if recordings[other] == recordings[song]) for song in signatures
    }


@settings(max_examples=30, deadline=None)
@given(CATALOGS, st.randoms(use_true_random=False), st.floats(0.1, 0.9))
def test_recordings_stay_on_one_side_in_whatever_batches_they_come(made: Made, random: Random, share: float) -> None:
    signatures, recordings = made
    songs = list(signatures)
    random.shuffle(songs)
    stored: dict[str, str] = {}
    known: dict[str, bytes] = {}
    while songs:
        count = random.randint(1 + len(songs) // 4, len(songs))
        batch, songs = songs[:count], songs[count:]
        known |= {song: signatures[song] for song in batch}
        after = splits(known, stored, share)
        assert after == splits(dict(reversed(known.items())), stored, share)
        assert after.keys() == known.keys()
        assert {song: after[song] for song in stored} == stored
        stored = after
    assert all(len(found) == 1 for found in sides(stored, recordings).values())


def test_a_share_of_the_songs_validates() -> None:
    signatures, _ = catalog([1] * 700 + [2] * 150)
    split = splits(signatures, {}, 0.2)
    assert set(split.values()) == {TRAIN, VALID}
    assert 0.15 < sum(side == VALID for side in split.values()) / len(split) < 0.25


def test_a_song_without_near_ones_is_drawn_by_its_own_id() -> None:
    signatures, _ = catalog([1] * 50)
    assert splits(signatures, {}, 0.5) == {song: split_of(song, 0.5) for song in signatures}


def test_songs_of_empty_signature_are_alone() -> None:
    assert near_groups({"a": EMPTY, "b": EMPTY}) == {"a": "a", "b": "b"}
    assert near_groups({}) == {}


def test_a_song_between_two_sides_takes_the_more_similar_one() -> None:
    middle = recording(1)
    close, far = version(middle, 1, 0.8).tobytes(), version(middle, 2, 0.3).tobytes()
    assert similarity(close, middle.tobytes()) > similarity(far, middle.tobytes()) >= NEAR
    for stored in ({"a": TRAIN, "b": VALID}, {"a": VALID, "b": TRAIN}):
        assert splits({"a": far, "b": close, "c": middle.tobytes()}, stored, 0.5)["c"] == stored["b"]
    same = middle.tobytes()
    assert splits({"b": same, "a": same, "c": same}, {"a": VALID, "b": TRAIN}, 0.0)["c"] == VALID


def test_a_sung_song_decides_nothing_for_others() -> None:
    same = recording(1).tobytes()
    songs = {"a": same, "b": same, "c": same}
    assert splits(songs, {"a": SUNG}, 0.0) == {"a": SUNG, "b": TRAIN, "c": TRAIN}
    assert splits(songs, {"a": SUNG, "b": VALID}, 0.0) == {"a": SUNG, "b": VALID, "c": VALID}


def test_near_songs_are_found_among_many() -> None:
    firsts = {f"{number:04d}": recording(number) for number in range(1000)}
    others = {f"{song}-again": version(of, int(song), 0.25) for song, of in firsts.items()}
    songs = {song: slots.tobytes() for song, slots in (firsts | others).items()}
    near = [song for song in firsts if similarity(songs[song], songs[f"{song}-again"]) >= NEAR]
    groups = near_groups(songs)
    assert len(near) > 900
    assert all(groups[f"{song}-again"] == song for song in near)
    assert len(set(groups.values())) == len(songs) - len(near)


def test_a_crowd_of_copies_is_one_group_and_a_crowd_in_one_bucket_is_none() -> None:
    copies = {f"copy {number}": recording(0).tobytes() for number in range(3000)}
    crowd = {}
    for number in range(3000):
        slots = recording(1 + number)
        slots[:, :30] = 7  # 30 slots of 256 agree, at one distance: less than NEAR
        crowd[f"other {number}"] = slots.tobytes()
    groups = near_groups(copies | crowd)
    assert {groups[song] for song in copies} == {"copy 0"}
    assert all(groups[song] == song for song in crowd)
