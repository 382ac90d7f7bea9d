"""The second stage without Ray: verdicts, one song's trouble, and stems on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.audio import Audio, encode_audio, read_audio
from models.codec.codec import StemCodec
from models.errors import StemsError
from models.separation import Separator
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.tokens.stems_folder import write_stems
from pipelines.tokens.tokenize import SongTokenizer, SourceSong, TokenizerSettings

LAYOUT = StemLayout.parse("bass:1,drums:1,other:2")


def settings(models: Any, **changes: Any) -> TokenizerSettings:
    values: dict[str, Any] = {
        "separator": models.separator,
        "codecs": models.codecs,
        "layout": LAYOUT,
        "vocal_threshold": 1.0,
        "vocals": "score>1",
        "vocal_tags": frozenset({"sung", "lead vocals"}),
        "group_seconds": 60.0,
        "keep_stems": "",
        "device": "cpu",
    }
    return TokenizerSettings(**{**values, **changes})


@pytest.fixture(scope="module")
def parts(tiny_models: Any) -> tuple[Separator, dict[str, StemCodec]]:
    codecs = {name: StemCodec.load(Path(tiny_models.codecs) / name) for name in LAYOUT.names}
    return Separator.load(tiny_models.separator), codecs


def noise(seconds: float, rate: int = 44100, channels: int = 2) -> Audio:
    samples = np.random.default_rng(int(seconds * 1000)).standard_normal((channels, int(seconds * rate)))
    return Audio((0.1 * samples).astype(np.float32), rate)


def song(name: str, audio: Audio, tags: tuple[str, ...] = ()) -> SourceSong:
    entry = CatalogEntry(uri=f"/{name}.wav", fingerprint=name, title=name, tags=tags)
    return SourceSong(entry, f"{name}-id", audio.seconds, encode_audio(audio))


def test_songs_of_any_rate_and_channels_become_codes(tiny_models: Any, parts: Any) -> None:
    songs = [
        song("a", noise(1.2)),
        song("b", noise(0.7, 22050, 1)),
        song("c", noise(0.5, 48000, 4)),
        song("d", noise(1.0, 32000, 1)),
    ]
    verdicts = SongTokenizer(settings(tiny_models), *parts).process(songs)
    for heard, verdict in zip(songs, verdicts, strict=True):
        assert verdict.reason == ""
        assert verdict.codes is not None
        assert verdict.codes.dtype == np.int16
        # 32 kHz and a hop of 640: fifty frames a second, the last one begun.
        assert verdict.codes.shape == (4, np.ceil(heard.seconds * 50))
        assert verdict.codes.max() < 32
        assert len(np.unique(verdict.codes)) > 4
        assert verdict.vocal_score is not None
        assert 0 < verdict.vocal_score < 1


def test_songs_do_not_change_each_other(tiny_models: Any, parts: Any) -> None:
    a, b = song("a", noise(1.2)), song("b", noise(0.7))
    together = SongTokenizer(settings(tiny_models), *parts).process([a, b])
    grouped = SongTokenizer(settings(tiny_models, group_seconds=1.0), *parts).process([b, a])
    for one, other in zip(together, reversed(grouped), strict=True):
        assert one.codes is not None
        assert other.codes is not None
        # Batches of other sizes round differently, which may tip a code that lies between two.
        assert (one.codes == other.codes).mean() > 0.98


def test_groups_bound_what_is_in_memory(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    separator, codecs = parts
    score = separator.vocal_score

    def counted(waves: Sequence[np.ndarray]) -> list[float]:
        seen.append(len(waves))
        return score(waves)

    monkeypatch.setattr(separator, "vocal_score", counted)
    songs = [song(name, noise(seconds)) for name, seconds in (("a", 0.5), ("b", 0.5), ("c", 0.9), ("d", 2.0))]
    SongTokenizer(settings(tiny_models, group_seconds=1.0), separator, codecs).process(songs)
    assert seen == [2, 1, 1]


def test_tags_decide_before_anything_is_heard(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    separator, codecs = parts
    monkeypatch.setattr(separator, "vocal_score", lambda _: pytest.fail("the song was heard"))
    verdicts = SongTokenizer(settings(tiny_models), separator, codecs).process(
        [song("a", noise(0.5), ("calm", "Lead-Vocals")), song("b", noise(0.5), ("SUNG",))]
    )
    assert [(v.decided_by, v.vocal_score, v.codes) for v in verdicts] == [
        ("tag:lead vocals", None, None),
        ("tag:sung", None, None),
    ]


def test_the_score_decides(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    separator, codecs = parts
    monkeypatch.setattr(separator, "vocal_score", lambda waves: [0.5, 0.6][: len(waves)])
    tokenizer = SongTokenizer(settings(tiny_models, vocal_threshold=0.5, vocals="score>0.5"), separator, codecs)
    kept, dropped = tokenizer.process([song("a", noise(0.5)), song("b", noise(0.5))])
    assert (kept.decided_by, kept.vocal_score, kept.codes is None) == ("", 0.5, False)
    assert (dropped.decided_by, dropped.vocal_score, dropped.codes is None) == ("score>0.5", 0.6, True)


def test_one_song_fails_alone(tiny_models: Any, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    separator, codecs = parts
    separate = separator.separate

    def fragile(waves: Sequence[np.ndarray]) -> Any:
        if any(wave.shape[1] == 44100 for wave in waves):
            raise ZeroDivisionError("one second exactly")
        return separate(waves)

    monkeypatch.setattr(separator, "separate", fragile)
    broken = SourceSong(CatalogEntry("/broken.wav", "x"), "x", 0.5, b"not audio any more")
    verdicts = SongTokenizer(settings(tiny_models), separator, codecs).process(
        [song("a", noise(0.6)), song("b", noise(1.0)), broken, song("c", noise(0.7))]
    )
    assert [v.reason for v in verdicts] == ["", "failed:ZeroDivisionError", "unreadable", ""]
    assert [v.codes is None for v in verdicts] == [False, True, True, False]
    assert verdicts[1].message == "one second exactly"


def test_stems_are_kept_whole_and_once(tiny_models: Any, parts: Any, tmp_path: Path) -> None:
    tokenizer = SongTokenizer(settings(tiny_models, keep_stems=str(tmp_path)), *parts)
    audio = noise(0.6)
    named = SourceSong(
        CatalogEntry("/a.wav", "f", title="../a/b: ça\0"), "0123456789abcdef", 0.6, encode_audio(audio)
    )
    tokenizer.process([named])
    tokenizer.process([named])
    (folder,) = tmp_path.iterdir()
    assert folder.name == "_a_b_ ça_-0123456789ab"
    assert sorted(file.name for file in folder.iterdir()) == ["bass.flac", "drums.flac", "other.flac"]
    stem = read_audio(folder / "bass.flac")
    assert (stem.rate, stem.samples.shape) == (32000, (1, 19200))


def test_a_stems_folder_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_drums(path: Path, audio: Audio) -> None:
        if path.stem == "drums":
            raise OSError("disk full")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")

    monkeypatch.setattr("pipelines.tokens.stems_folder.write_audio", fail_at_drums)
    with pytest.raises(OSError, match="disk full"):
        write_stems(tmp_path, "t", "id", {"bass": noise(0.1), "drums": noise(0.1)})
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_fit_are_refused(tiny_models: Any, parts: Any) -> None:
    with pytest.raises(StemsError, match="no 'strings'"):
        SongTokenizer(settings(tiny_models, layout=StemLayout.parse("strings:1")), *parts)
