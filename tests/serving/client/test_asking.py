"""What a client does without a network: events out of bytes, regions, folders."""

from __future__ import annotations

import json
from collections import deque
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_service import manifest, zip_of
from hypothesis import given
from hypothesis import strategies as st

from models.errors import StemsError
from serving.client.downloads import unpack
from serving.client.events import EventParser, Message
from serving.client.requests import region_text
from serving.client.retries import RequestError
from serving.client.sounds import folder_sounds, read_sound

ENDS = ("\n", "\r", "\r\n")

text = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=12)
messages = st.lists(
    st.builds(Message, event=text.filter(len), data=st.lists(text, min_size=1, max_size=3).map("\n".join), id=text)
)


def written(messages: list[Message], ends: list[str], noise: bool) -> bytes:
    """The bytes of a stream of messages, each with its end of lines, and with lines that mean nothing."""
    stream = ""
    for n, message in enumerate(messages):
        lines = [": a comment", "", "retry: 9", "colour:red", "event", "id: 7", ""] if noise else []
        lines += [f"event: {message.event}", *(f"data: {line}" for line in message.data.split("\n"))]
        stream += "".join(line + ends[n % len(ends)] for line in (*lines, f"id: {message.id}", ""))
    return stream.encode()


def chunks(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut into chunks, of which some are empty."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(messages, st.lists(st.sampled_from(ENDS), min_size=1), st.lists(st.integers(0, 10**6)), st.booleans())
def test_however_a_stream_is_cut_its_events_are_the_same(
    sent: list[Message], ends: list[str], cuts: list[int], bom: bool
) -> None:
    parser = EventParser()
    stream = b"\xef\xbb\xbf" * bom + written(sent, ends, noise=False)
    assert [heard for chunk in chunks(stream, cuts) for heard in parser.feed(chunk)] == sent
    assert parser.last_id == (sent[-1].id if sent else "")


@given(messages, st.lists(st.sampled_from(ENDS), min_size=1), st.lists(st.integers(0, 10**6)))
def test_what_means_nothing_changes_nothing(sent: list[Message], ends: list[str], cuts: list[int]) -> None:
    parser = EventParser()
    heard = [one for chunk in chunks(written(sent, ends, noise=True), cuts) for one in parser.feed(chunk)]
    assert heard == sent


@given(messages, st.integers(0, 10**6))
def test_a_stream_that_breaks_off_goes_on_after_its_last_whole_event(sent: list[Message], cut: int) -> None:
    sent = [Message(message.event, message.data, str(n)) for n, message in enumerate(sent)]
    stream = written(sent, ["\n"], noise=False)
    first = EventParser()
    heard = first.feed(stream[: cut % (len(stream) + 1)])
    assert heard == sent[: len(heard)]
    assert first.last_id == (heard[-1].id if heard else "")


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 2**19 + b"\n", b"x" * 2**19], ids=["lines", "one line"])
def test_an_event_without_an_end_does_not_fill_the_memory(chunk: bytes) -> None:
    parser = EventParser()
    with pytest.raises(RequestError, match="one of them has no end"):
        deque((parser.feed(chunk) for _ in range(40)), maxlen=0)


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ((0.5, 2.5), "0.5-2.5"),
        ((0, 10), "0-10"),
        ((1e-7, 123.456789), "0.0000001-123.456789"),
        ((np.float32(0.5), np.float64(200)), "0.5-200"),
    ],
)
def test_a_region_is_written_out(region: tuple[float, float], text: str) -> None:
    assert region_text(region) == text


@pytest.mark.parametrize("region", [(1, 1), (2, 1), (-1, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_region_that_is_none(region: tuple[float, float]) -> None:
    with pytest.raises(StemsError) as caught:
        region_text(region)
    assert caught.value.field == "region"


@pytest.mark.parametrize(
    "name",
    ["../x.wav", "a/../../x.wav", "/tmp/x.wav", "a/b.wav", "a\\b.wav", "..", ".hidden", "C:x.wav", "folder/", "a\nb"],
)
def test_a_zip_writes_nothing_outside_its_folder_nor_anything_odd(tmp_path: Path, name: str) -> None:
    with pytest.raises(StemsError, match="its name is not plain"):
        unpack(zip_of({"bass.wav": b"", name: b"x"}), tmp_path / "in" / "song")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_damaged_zip(tmp_path: Path) -> None:
    whole = zip_of({"bass.wav": b"sound" * 100})
    for data in (b"", b"no zip", whole[:-10], whole.replace(b"sound", b"noise", 1)):
        with pytest.raises(StemsError, match="The zip is damaged"):
            unpack(data, tmp_path / "song")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_result_is_replaced_whole(tmp_path: Path) -> None:
    said = json.dumps(manifest()).encode()
    sounds = {f"{name}.flac": b"1" for name in ("bass", "drums", "mix")}
    unpack(zip_of({**sounds, "manifest.json": said}), tmp_path / "song")
    unpack(zip_of({"bass.wav": b"2", "manifest.json": said}), tmp_path / "song")
    assert {file.name for file in (tmp_path / "song").iterdir()} == {"bass.wav", "manifest.json"}


@pytest.mark.parametrize("there", [["notes.txt", "manifest.json"], ["bass.wav"], ["manifest.json", "deep/bass.wav"]])
def test_nothing_else_is_replaced(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(StemsError, match="holds files that this command did not write") as caught:
        unpack(zip_of({"bass.wav": b""}), tmp_path)
    assert caught.value.field == "output"
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == set(there)
    with pytest.raises(StemsError, match="is a file"):
        unpack(zip_of({"bass.wav": b""}), tmp_path / there[0])


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    unpack(zip_of({"bass.wav": b"1"}), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["bass.wav"]


def test_stems_in_a_folder_are_all_its_sounds_but_the_mix(tmp_path: Path) -> None:
    for name in ("bass.wav", "drums.FLAC", "mix.wav", "manifest.json", "codes.npy", ".other.wav"):
        (tmp_path / name).touch()
    assert folder_sounds(tmp_path) == {"bass": tmp_path / "bass.wav", "drums": tmp_path / "drums.FLAC"}
    (tmp_path / "bass.ogg").touch()
    with pytest.raises(StemsError, match=r"'bass\.ogg' and 'bass\.wav' in .* are the same stem"):
        folder_sounds(tmp_path)


def test_a_folder_without_stems(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="has no stems"):
        folder_sounds(tmp_path)
    with pytest.raises(StemsError, match="is no folder"):
        folder_sounds(tmp_path / "none")


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (np.zeros((3, 4, 5)), r"have the shape \[3, 4, 5\]"),
        (np.zeros((500, 2)), r"have the shape \[500, 2\]\. Give \[samples\], or \[channels, samples\]"),
        (np.zeros(0), r"have the shape \[0\]"),
        (np.zeros(9, np.int32), "are int32. Give floats"),
        (np.array([0, np.nan]), "are not all finite"),
    ],
)
def test_samples_that_are_none(samples: np.ndarray, text: str) -> None:
    with pytest.raises(StemsError, match=text) as caught:
        read_sound((samples, 8000), "bass")
    assert caught.value.field == "bass"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match=r"none\.wav' cannot be read: No such file") as caught:
        read_sound(tmp_path / "none.wav", "song")
    assert (caught.value.code, caught.value.field) == ("missing", "song")
