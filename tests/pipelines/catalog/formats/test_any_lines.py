"""Whatever JSON a line holds, a reader takes it or says what is wrong with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.catalog.formats import audiocraft, lhotse, manifest, nemo
from pipelines.catalog.manifests.captions import LineError
from pipelines.catalog.manifests.records import Record
from pipelines.catalog.problems import Problems

KEYS = [
    *("path", "file_name", "audio_filepath", "duration", "offset", "text", "caption", "tags"),
    *("title", "id", "sources", "source", "type", "recording", "start", "supervisions"),
    *("custom", "tracks", "info_path", "genre", "moods", "keywords", "recording_id"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats()
LEAVES = SCALARS | st.text(max_size=5) | st.sampled_from(["a.wav", "file"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=8,
)
LINES = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8), max_size=4)

Reader = Callable[[Iterable[Record], Problems], Any]


@pytest.mark.parametrize(
    "reader",
    [
        manifest.read,
        nemo.read,
        audiocraft.read,
        lhotse.read_supervisions,
        lambda records, problems: lhotse.read(records, {}, problems),
    ],
    ids=["manifest", "nemo", "audiocraft", "supervisions", "lhotse"],
)
@settings(max_examples=60, deadline=None)
@given(lines=LINES)
@example(lines=[{"id": "x", "sources": [{"type": "file", "source": "a.wav"}]}, {"recording": {"sources": [[]]}}])
def test_lines_are_taken_or_noted(reader: Reader, lines: list[dict[str, object]]) -> None:
    problems = Problems()
    taken = list(reader([Record("m", number, values) for number, values in enumerate(lines, 1)], problems))
    assert len(taken) <= len(lines)
    assert all(problem.place.startswith("m, line ") and problem.hint for problem in problems.found)


@settings(max_examples=60, deadline=None)
@given(info=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_descriptions_are_taken_or_noted(info: dict[str, object]) -> None:
    with contextlib.suppress(LineError):
        assert all(isinstance(tag, str) and tag for tag in audiocraft.words_of_info(info).tags)
