from __future__ import annotations

from pipelines.tokens.songs.limits import SongLimits, length_problem

LIMITS = SongLimits(min_seconds=5.0, max_seconds=1200.0, max_megabytes=1024.0)


def test_limits_say_what_they_are() -> None:
    assert str(LIMITS) == "5-1200 s, 1024 MB"
    assert LIMITS.max_bytes == 1_024_000_000
    assert LIMITS.decoded_bytes == 1200 * 48_000 * 2 * 4


def test_a_length_is_too_short_too_long_or_right() -> None:
    problems = [length_problem("a.wav", seconds, LIMITS) for seconds in (4.9, 5.0, 1200.0, 1200.1)]
    assert [problem.code if problem else "" for problem in problems] == ["too_short", "", "", "too_long"]
    assert all("'a.wav'" in str(problem) for problem in problems if problem)
