from __future__ import annotations

import pytest

from models.lm.windows import slide


@pytest.mark.parametrize(("frames", "longest"), [(1, 10), (10, 10), (11, 10), (95, 10), (1000, 417), (7, 1), (5, 2)])
def test_windows_cover_a_song_once_and_overlap(frames: int, longest: int) -> None:
    windows = slide(frames, longest)
    written = [f for w in windows for f in range(w.known_until, w.end)]
    assert written == list(range(frames))
    assert all(w.end - w.start <= longest and w.start <= w.known_until < w.end for w in windows)
    assert all(w.known_until - w.start >= longest // 3 for w in windows[1:])
