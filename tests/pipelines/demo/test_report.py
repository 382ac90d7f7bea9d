from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from pipelines.demo.report import write_report
from pipelines.demo.results import (
    Clip,
    CodecRow,
    ContextRow,
    Counts,
    DemoResults,
    EditedSong,
    EditedStem,
    ExtendedSong,
    ExtendedStem,
    GeneratedSong,
    LossCurve,
    Quarantined,
    SeparationRow,
    StepTime,
    VocalFilter,
)


class _Page(HTMLParser):
    """Tags left open, sources of players and pictures, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "line", "circle"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


@pytest.fixture
def results(tmp_path: Path) -> DemoResults:
    def clip(name: str) -> Clip:
        audio, picture = tmp_path / "songs à la" / f"{name}.flac", tmp_path / "pictures" / f"{name}.png"
        for path in (audio, picture):
            path.parent.mkdir(exist_ok=True)
            path.touch()
        return Clip(name, audio, picture)

    return DemoResults(
        counts=Counts(songs=12, vocals=3, quarantined=2, tokenized=7),
        quarantine=(Quarantined("a <b>.mp3", "unreadable"),),
        separation=(SeparationRow("bass", 4.1, -1.2),),
        codecs=(CodecRow("other", 2.0, 1.0, 4.0, (61.0, 50.4), 256, 2.0),),
        vocal_filter=VocalFilter(sung=3, dropped=3, instrumental=7, kept=7),
        loss=LossCurve(((0, 5.5), (10, 4.0)), ((0, {"bass": 5.5}), (10, {"bass": 3.2})), {"bass": 4.4}),
        context=(ContextRow("bass", 3.1, 3.4, 0.9),),
        steps=(StepTime("prepare", 75.0), StepTime("generate", 3.25)),
        generated=GeneratedSong("funk & soul", clip("mix"), (clip("bass"),)),
        edited=EditedSong(
            "Été",
            "",
            clip("before"),
            clip("after"),
            (
                EditedStem("bass", clip("b0"), clip("b1"), regenerated=True, identical=False),
                EditedStem("drums", clip("d0"), clip("d1"), regenerated=False, identical=True),
            ),
        ),
        extended=ExtendedSong(
            10.0, 14.0, clip("longer"), (ExtendedStem("bass", clip("longer bass"), True, 0.011, 0.042),)
        ),
        machine="Two cores",
    )


def _read(results: DemoResults, folder: Path) -> _Page:
    page = _Page()
    page.feed(write_report(results, folder).read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_report_links_what_exists_beside_it(results: DemoResults, tmp_path: Path) -> None:
    page = _read(results, tmp_path)
    assert len(page.sources) == 20
    for source in page.sources:
        assert not source.startswith(("/", "http"))
        assert (tmp_path / unquote(source)).exists()


def test_report_states_numbers_beside_their_comparison(results: DemoResults, tmp_path: Path) -> None:
    text = " ".join(_read(results, tmp_path).text.split())
    for words in (
        "4.1 dB −1.2 dB",
        "1.00 4.00 2.00 0.25 61, 50 of 256",
        "3.20 against 4.40: below",
        "bass 3.10 3.40 0.30 in 90 % of examples it listens",
        "only knows how often each code occurs",
        "3 of 3 sung songs were dropped, and 7 of 7",
        "seam 0.011 against 0.042",
        "“funk & soul”",
        "a <b>.mp3",
        "It took 1 min 18 s",
        "Every comparison on this page passed.",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"separation": (SeparationRow("bass", -2.0, -1.2),)}, "SDR −2.0 dB, the mixture as estimate −1.2 dB"),
        ({"codecs": (CodecRow("other", 2.0, 2.1, 4.0, (9.0,), 256, 3.0),)}, "0.53 of the untrained codec's"),
        ({"codecs": (CodecRow("other", 2.0, 1.0, 4.0, (9.0,), 256, 0.5),)}, "2.00 of silence's"),
        ({"vocal_filter": VocalFilter(10, 8, 10, 10)}, "8 of 10 sung songs dropped"),
        ({"vocal_filter": VocalFilter(10, 10, 10, 8)}, "8 of 10 instrumental songs kept"),
        ({"context": (ContextRow("bass", 3.4, 3.1, 0.4),)}, "tell no more (3.40 nats) than another song's (3.10)"),
        ({"loss": LossCurve((), ((0, {"bass": 4.5}),), {"bass": 4.4})}, "validation loss 4.50 nats, unigram"),
    ],
)
def test_a_lost_comparison_is_said_plainly(
    results: DemoResults, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    lost = replace(results, **change)  # type: ignore[arg-type]
    assert len(lost.shortfalls()) == 1
    text = " ".join(_read(lost, tmp_path).text.split())
    assert "1 comparison failed." in text
    assert said in text


def test_an_extension_is_lost_when_the_old_part_changes_or_the_seam_clicks(results: DemoResults) -> None:
    [bass] = results.extended.stems
    wrong = (replace(bass, kept=False), replace(bass, seam=0.05))
    lost = replace(results, extended=replace(results.extended, stems=wrong)).shortfalls()
    assert lost == ["extended bass: its old part changed", "extended bass: a step of 0.050 at the seam, 0.042 around"]


def test_an_edit_is_lost_when_kept_stems_change_or_regenerated_ones_do_not(results: DemoResults) -> None:
    bass, drums = results.edited.stems
    wrong = (replace(bass, identical=True), replace(drums, identical=False))
    lost = replace(results, edited=replace(results.edited, stems=wrong)).shortfalls()
    assert lost == ["edited bass: nothing changed", "edited drums: tokens differ from the source"]
