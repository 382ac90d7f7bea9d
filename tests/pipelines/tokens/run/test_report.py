"""What a person learns from a run's report."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipelines.tokens.run.report import (
    MOST_PROBLEMS,
    MOST_SLOW,
    STAGES,
    Histogram,
    PrepareReport,
    StageFacts,
)
from pipelines.tokens.run.report_builder import ReportBuilder
from pipelines.tokens.run.report_files import new_name, save
from pipelines.tokens.run.report_page import HEIGHT, WIDTH, chart, html_page

HOSTILE = "<script>alert(1)</script>"


class _Page(HTMLParser):
    """Tags in order, those left open, addresses, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += f" {data}"

    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture
def report() -> PrepareReport:
    """A run over 1500 files."""
    builder = ReportBuilder()
    builder.stage("separate", 3, 600.0, 150.0)
    builder.stage("inspect", 4, 700.0, 2.0)
    builder.stage("separate", 1, 200.0, 50.0)
    builder.song("Été", "s3://songs/a.flac", 200.0, 80.0, {"separate": 60.0, "encode": 20.0})
    builder.song("", "b.mp3", 61.0, 90.0, {"separate": 90.0})
    for score in (0.01, 0.02, 0.97):
        builder.value("vocal_score", score)
    builder.value("clipped", 0.00005)
    builder.problem("c.mp3", "unreadable", "'c.mp3' is no audio.")
    builder.dropped("tag:choir")
    for _ in range(11):
        builder.dropped("score")
    return builder.build(
        songs=1500,
        already_there=1213,
        tokenized=211,
        vocals=12,
        duplicates=23,
        quarantined={"unreadable": 33, "too_short": 7},
        removed=1,
        retokenized=17,
        hours=1.75,
        seconds=3150.0,
        versions={"tokens": 41, "dropped": 5},
        settings={"catalog": "s3://songs", "min_seconds": "5.0"},
        workers="4 × 2 CPUs",
    )


def test_the_page_shows_every_number(report: PrepareReport) -> None:
    words = _Page(html_page(report)).words()
    for said in (
        "It took 52 min 30 s on 4 × 2 CPUs.",
        "1,500 songs in 1,213 already there 211 tokenized 12 with vocals, dropped 23 duplicates 40 quarantined",
        "1 taken down earlier 17 with some codes kept 1.75 hours tokenized 2.0 × real time",
        "inspect 4 11 min 40 s 2.0 s 350.0 separate 4 13 min 20 s 3 min 20 s 4.0",
        "quarantined unreadable 33 duplicate same samples as another file 23 dropped for vocals score 11",
        "quarantined too_short 7 dropped for vocals tag:choir 1 removed taken down earlier 1",
        "Vocal score of 3 songs below 0.05: 2 0.95 and more: 1 0 1",
        "Clipping of 1 song 0.00001 to 0.0001 of the samples: 1 0 1 of the samples",
        "without a title b.mp3 1 min 01 s 1 min 30 s separate 100 %",
        "Été s3://songs/a.flac 3 min 20 s 1 min 20 s separate 75 %, encode 25 %",
        "c.mp3 unreadable 'c.mp3' is no audio.",
        "tokens 41 dropped 5",
        "catalog s3://songs min_seconds 5.0",
    ):
        assert said in words
    assert words.index("b.mp3") < words.index("a.flac")  # the slowest first


def test_the_page_needs_nothing_else_and_follows_the_reader_s_colours(report: PrepareReport) -> None:
    html = html_page(report)
    page = _Page(html)
    assert page.links == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not re.search(r"url\(|@import", html)
    assert "prefers-color-scheme: dark" in html
    assert "default-src 'none'" in html
    assert page.tags.count("rect") == 3


def test_text_of_songs_is_no_markup() -> None:
    builder = ReportBuilder()
    builder.song(HOSTILE, f'"><img src=x onerror=alert(1)>{HOSTILE}', 1.0, 1.0, {"encode": 1.0})
    builder.problem("javascript:alert(1)", HOSTILE, f"</td>{HOSTILE}")
    builder.dropped(f"tag:{HOSTILE}")
    report = builder.build(
        songs=1, quarantined={HOSTILE: 1}, versions={HOSTILE: 1}, settings={"catalog": HOSTILE}, workers=HOSTILE
    )
    html = html_page(report)
    page = _Page(html)
    assert not {"script", "img", "a"} & set(page.tags)
    assert page.text.count(HOSTILE) == 9


def test_names_that_are_not_utf_8_and_endless_messages_are_shown_as_far_as_they_can_be(tmp_path: Path) -> None:
    builder = ReportBuilder()
    builder.song("a\udcff", "b\udcff", 1.0, 1.0, {})
    builder.problem("c\udcff", "unreadable", "x" * 10_000)
    report = builder.build(songs=1, settings={"catalog": "d\udcff"})
    save(report, str(tmp_path), new_name())
    assert (report.slowest[0].title, report.slowest[0].uri) == ("a?", "b?")
    assert report.problems[0].uri == "c?"
    assert len(report.problems[0].message) == 500
    assert report.settings == {"catalog": "d?"}


def test_json_holds_every_field_and_reads_back(report: PrepareReport) -> None:
    text = report.to_json()
    assert set(json.loads(text)) == {field.name for field in fields(PrepareReport)}
    assert TypeAdapter(PrepareReport).validate_json(text) == report
    assert json.loads(text)["stages"][1] == {
        "name": "separate",
        "songs": 4,
        "audio_seconds": 800.0,
        "busy_seconds": 200.0,
    }


def test_a_run_that_had_nothing_to_do_has_a_report() -> None:
    report = ReportBuilder().build(songs=0, settings={})
    assert report == PrepareReport(songs=0)
    words = _Page(html_page(report)).words()
    for said in ("0 songs in", "nothing to compute", "No file was left out", "No file was set aside", "0.0 × real"):
        assert said in words
    assert "NaN" not in report.to_json()
    assert report.summary().row_count == 8


def test_the_summary_shows_counts_reasons_and_rates(report: PrepareReport) -> None:
    names, values = (list(column.cells) for column in report.summary().columns)
    assert list(zip(names, values, strict=True)) == [
        ("songs in", "1500"),
        ("already there", "1213"),
        ("tokenized", "211"),
        ("with vocals, dropped", "12"),
        ("  score", "11"),
        ("  tag:choir", "1"),
        ("duplicates", "23"),
        ("quarantined", "40"),
        ("  too_short", "7"),
        ("  unreadable", "33"),
        ("taken down earlier", "1"),
        ("with some codes kept", "17"),
        ("hours of audio", "1.75"),
        ("seconds", "3150"),
        ("  inspect, a worker", "350.0 × real time"),
        ("  separate, a worker", "4.0 × real time"),
    ]


def test_stages_stand_in_the_order_in_which_songs_go_through_them() -> None:
    builder = ReportBuilder()
    for name in reversed(STAGES):
        builder.stage(name, 1, 10.0, 0.0)
    stages = builder.build(songs=1, settings={}).stages
    assert stages == tuple(StageFacts(name, 1, 10.0, 0.0) for name in STAGES)
    assert stages[0].speed == 0.0


def test_the_slowest_songs_and_the_first_problems_are_kept_and_all_are_counted() -> None:
    builder = ReportBuilder()
    for k in range(1000):
        builder.song(f"song {k}", "a.mp3", 1.0, float(k * 7 % 1000 // 2), {})
        builder.problem(f"{k}.mp3", "empty", "")
    report = builder.build(songs=1000, settings={})
    # 7 has an inverse modulo 1000: each time below 500 is taken by two songs.
    assert [song.took for song in report.slowest] == [499.0 - k // 2 for k in range(MOST_SLOW)]
    assert [problem.uri for problem in report.problems] == [f"{k}.mp3" for k in range(MOST_PROBLEMS)]
    assert report.problem_count == 1000
    assert "The first 200 of 1,000;" in _Page(html_page(report)).words()


def test_of_equally_slow_songs_the_first_are_kept() -> None:
    builder = ReportBuilder()
    for k in range(2 * MOST_SLOW):
        builder.song(f"{k}", "a.mp3", 1.0, 5.0, {})
    assert [song.title for song in builder.build(songs=1, settings={}).slowest] == [f"{k}" for k in range(MOST_SLOW)]


@given(st.lists(st.floats(allow_nan=False) | st.integers(-70, 10).map(float), min_size=1))
def test_every_value_is_in_the_bin_that_holds_it(values: list[float]) -> None:
    builder = ReportBuilder()
    for value in values:
        builder.value("loudness", value)
    histogram = builder.build(songs=1, settings={}).histograms["loudness"]
    bounds = [-math.inf, *histogram.edges[1:-1], math.inf]
    expected = [
        sum(low <= value < high or value == high == math.inf for value in values) for low, high in pairwise(bounds)
    ]
    assert list(histogram.counts) == expected


def test_what_is_not_a_number_is_in_no_bin() -> None:
    builder = ReportBuilder()
    builder.value("residual_db", math.nan)
    assert builder.build(songs=1, settings={}).histograms == {}


def test_bars_are_as_high_as_their_bins_are_full() -> None:
    drawn = chart("Length", Histogram((0.0, 1.0, 2.0, 4.0), (2, 0, 8), "s"))
    assert [(bar.x, bar.height, bar.said) for bar in drawn.bars] == [
        (0.0, HEIGHT / 4, "below 1 s: 2"),
        (round(WIDTH * 2 / 3, 2), HEIGHT, "2 and more s: 8"),
    ]
    assert drawn.ends == ("0", "4 s")


def test_a_report_is_saved_as_both_and_beside_others(report: PrepareReport, tmp_path: Path) -> None:
    folder = f"{tmp_path}/table/reports/"
    first, second = save(report, folder, new_name()), save(report, folder, new_name())
    assert len({*first, *second}) == 4
    assert sorted(first + second) == sorted(map(str, (tmp_path / "table" / "reports").iterdir()))
    for data, page in (first, second):
        assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}\.json", Path(data).name)
        assert page == data.removesuffix(".json") + ".html"
        assert Path(data).read_text(encoding="utf-8") == report.to_json()
        assert Path(page).read_text(encoding="utf-8") == html_page(report)


def test_a_report_is_saved_in_an_object_store(report: PrepareReport) -> None:
    from pipelines.catalog.storage.files import read_bytes

    data, page = save(report, "memory://bucket/table/reports", new_name())
    assert read_bytes(data).decode() == report.to_json()
    assert read_bytes(page).decode() == html_page(report)
