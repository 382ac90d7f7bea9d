from __future__ import annotations

from pipelines.tokens.songs.reasons import FAILED, REASONS, meaning


def test_every_code_has_a_meaning() -> None:
    assert meaning("silent") == "nothing is heard in it"
    assert meaning(f"{FAILED}MemoryError") == "an unforeseen error (MemoryError)"
    assert all(sentence and not sentence.endswith(".") for sentence in REASONS.values())
