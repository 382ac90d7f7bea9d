"""What a training prompt says."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pipelines.training.lm.prompts import TextMerging, plain_prompt, training_prompt

TAGS = ("funk", "slow", "live")
ALWAYS = TextMerging(merge_text=1.0, drop_description=0.0, drop_tag=0.0)


def prompts(merging: TextMerging, count: int = 1000, caption: str = "A groove.") -> list[str]:
    return [training_prompt(caption, TAGS, merging, np.random.default_rng(seed)) for seed in range(count)]


def test_the_caption_stays_where_nothing_is_merged() -> None:
    assert set(prompts(TextMerging(0.0, 1.0, 0.0), 20)) == {"A groove."}


def test_tags_follow_the_caption_in_any_order() -> None:
    seen = Counter(prompts(ALWAYS))
    assert "A groove. live, funk, slow" in seen
    assert len(seen) == 6
    assert min(seen.values()) > 100


def test_merging_and_dropping_happen_as_often_as_asked() -> None:
    seen = prompts(TextMerging(merge_text=0.4, drop_description=0.25, drop_tag=0.5), 4000)
    # A merge shows where at least one of three tags is kept.
    shown = 0.4 * (1 - 0.5**3)
    merged = [prompt for prompt in seen if any(tag in prompt for tag in TAGS)]
    assert abs(len(merged) / 4000 - shown) < 0.03
    assert abs(sum("groove" not in prompt for prompt in merged) / len(merged) - 0.25) < 0.04
    tags = sum(tag in prompt for prompt in merged for tag in TAGS)
    assert abs(tags / 4000 - 0.4 * 0.5 * 3) < 0.05


def test_a_merge_that_keeps_no_tag_keeps_the_caption() -> None:
    assert set(prompts(TextMerging(1.0, 1.0, 1.0), 20)) == {"A groove."}


def test_a_song_without_a_caption_is_described_by_its_tags() -> None:
    assert plain_prompt("", TAGS) == "funk, slow, live"
    assert plain_prompt(" A groove. ", TAGS) == "A groove."
    assert plain_prompt("", ()) == ""
    assert sorted(prompts(ALWAYS, 1, caption="")[0].split(", ")) == sorted(TAGS)
