"""`make demo`, whole: what it promises must hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.documented import run_documented
from helpers.served import served

from models.audio.files import read_audio
from pipelines.demo.config import DemoConfig
from pipelines.demo.pipeline import run_demo
from pipelines.demo.results import DemoResults

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def results(folder: Path) -> DemoResults:
    return run_demo(DemoConfig(output=str(folder)))


def test_every_file_of_the_catalog_is_accounted_for(results: DemoResults) -> None:
    counts, config = results.counts, DemoConfig()
    assert counts.songs == config.catalog_songs + 2
    assert counts.vocals + counts.quarantined + counts.tokenized == counts.songs
    assert sorted(row.file for row in results.quarantine) == ["Half a Download.mp3", "Nothing Yet.wav"]


def test_separating_beats_doing_nothing(results: DemoResults) -> None:
    for row in results.separation:
        assert row.sdr > row.mixture_sdr, row


def test_codecs_learn(results: DemoResults) -> None:
    for row in results.codecs:
        assert row.mel_trained <= 0.5 * row.mel_untrained, row
        assert all(perplexity > 8 for perplexity in row.perplexity), row


def test_the_vocal_filter_is_right_nine_times_in_ten(results: DemoResults) -> None:
    found = results.vocal_filter
    assert found.dropped >= 0.9 * found.sung
    assert found.kept >= 0.9 * found.instrumental


def test_the_language_model_knows_more_than_frequencies(results: DemoResults) -> None:
    for stream, entropy in results.loss.entropy.items():
        assert results.loss.final[stream] < entropy, stream
    final, entropies = list(results.loss.final.values()), list(results.loss.entropy.values())
    assert np.mean(final) < 0.95 * np.mean(entropies)


def test_the_language_model_listens_to_the_other_stems(results: DemoResults) -> None:
    assert len(results.context) == 3
    assert all(row.right < row.wrong for row in results.context)
    assert np.mean([row.wrong - row.right for row in results.context]) > 0.02
    assert np.mean([row.share for row in results.context]) > 0.7


def test_the_edit_changes_the_bass_and_nothing_else(results: DemoResults) -> None:
    kept = {stem.name: stem.identical for stem in results.edited.stems}
    assert kept == {"bass": False, "drums": True, "other": True}


def test_the_song_goes_on_as_it_was_and_without_a_click(results: DemoResults) -> None:
    assert results.extended.after == pytest.approx(results.extended.before + 4)
    assert all(stem.passed for stem in results.extended.stems)


def test_the_songs_can_be_heard(results: DemoResults, folder: Path) -> None:
    mix = read_audio(folder / "generated" / "mix.wav")
    assert mix.seconds == pytest.approx(DemoConfig().seconds)
    assert 0.01 < float(np.sqrt(np.mean(mix.samples**2))) < 0.7
    manifest = json.loads((folder / "generated" / "manifest.json").read_text())
    assert manifest["prompt"] == DemoConfig().prompt


def test_the_report_links_only_what_is_there(results: DemoResults, folder: Path) -> None:
    page = (folder / "report.html").read_text()
    links = [part.split('"')[0] for part in page.split('src="')[1:]]
    assert len(links) > 10
    assert all((folder / link).is_file() for link in links)


def test_the_model_is_served_as_documented(results: DemoResults, folder: Path, tmp_path: Path) -> None:
    state = {"state": f"sqlite:///{tmp_path}/state.db", "results": tmp_path / "results"}
    with served(model=folder / "model", **state) as http:
        run_documented(str(http.base_url), tmp_path)


def test_run_again_it_trains_nothing_anew(results: DemoResults, folder: Path) -> None:
    weights = {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/*/*")}
    again = run_demo(DemoConfig(output=str(folder)))
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/checkpoints/*/*")} == weights
    assert again.counts == results.counts
    assert again.loss == results.loss
