"""Inspection: every kind of trouble gets its reason, equal audio gets one id, and nothing breaks the process."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from helpers.containers import flac
from helpers.inspecting import LIMITS as CORPUS_LIMITS
from helpers.inspecting import Found, inspect_folder
from helpers.malformed import SONG, Expected, build_corpus

from models.audio.files import Audio, encode_audio, loudness, read_audio
from pipelines.catalog.schema import CatalogEntry, GivenStem, entry_to_json
from pipelines.tokens.songs.inspect import INSPECTED, Inspected, inspect_file, inspect_files, song_id
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.reasons import REASONS

LIMITS = SongLimits(min_seconds=1.0, max_seconds=60.0, max_megabytes=10.0)


@pytest.fixture(autouse=True)
def no_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.audio.signature.signature", lambda audio: b"%d" % audio.samples.shape[1])


def noise(seconds: float = 2.0, rate: int = 22050, channels: int = 2) -> Audio:
    samples = np.random.default_rng(0).standard_normal((channels, int(seconds * rate)))
    return Audio((0.1 * samples).astype(np.float32), rate)


def line(path: Path, size: int = 0) -> str:
    return entry_to_json(CatalogEntry(uri=str(path), fingerprint=path.name, size=size))


def inspect(path: Path, data: bytes, limits: SongLimits = LIMITS) -> Inspected:
    path.write_bytes(data)
    return inspect_file(line(path), limits)


def test_a_song_passes_with_what_was_heard(tmp_path: Path) -> None:
    audio = noise(channels=1)
    audio.samples[:, :11025] = 0
    found = inspect(tmp_path / "a.flac", encode_audio(audio, "flac"))
    assert (found.fingerprint, found.reason, found.message) == ("a.flac", "", "")
    assert (found.seconds, found.rate, found.channels) == (2.0, 22050, 1)
    assert found.loudness == pytest.approx(loudness(audio), abs=0.01)
    assert (found.clipped, found.signature) == (0.0, b"44100")
    assert found.silence == pytest.approx(0.25, abs=0.03)
    assert found.took > 0


def _float_wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 22050, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def _half(audio_format: str) -> bytes:
    data = encode_audio(noise(8.0), audio_format)  # type: ignore[arg-type]
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "make", "reason", "said"),
    [
        ("text.wav", lambda: b"these are words\n" * 40, "unreadable", "cannot be read"),
        ("empty.ogg", lambda: b"", "empty", "empty file"),
        ("no samples.wav", lambda: encode_audio(Audio(np.zeros((1, 0), np.float32), 8000)), "empty", "no audio"),
        ("short.wav", lambda: encode_audio(noise(0.9)), "too_short", "0.9 s; at least 1"),
        ("long.flac", lambda: flac(900, rate=8000, channels=1), "too_long", "lasts 7373 s"),
        (
            "wide.flac",
            lambda: flac(40),
            "too_large",
            "84 MB decoded, with 8 channels at 48000 Hz; the limit is 23 MB",
        ),
        ("silent.flac", lambda: flac(1, channels=1), "silent", "is silent"),
        ("offset.wav", lambda: _float_wav(np.full((44_100, 1), 0.5)), "silent", "is silent"),
        ("broken.wav", lambda: _float_wav(np.full((44_100, 1), np.nan)), "not_finite", "not numbers"),
        ("loud.wav", lambda: _float_wav(np.full((44_100, 1), 3e4)), "out_of_range", "30000 times full scale"),
        ("cut.mp3", lambda: _half("mp3"), "truncated", "breaks off after 4.0 s of 8.1"),
        ("cut.wav", lambda: _half("wav"), "truncated", "breaks off after 4.0"),
        ("cut.ogg", lambda: _half("ogg"), "truncated", "breaks off"),
        ("cut.flac", lambda: _half("flac"), "truncated", "breaks off after 4.1 s of 8.0"),
    ],
)
def test_trouble_has_a_reason(tmp_path: Path, name: str, make: Callable[[], bytes], reason: str, said: str) -> None:
    found = inspect(tmp_path / name, make())
    assert (found.reason, found.song_id) == (reason, "")
    assert f"'{tmp_path / name}'" in found.message
    assert said in found.message


def test_length_and_size_are_judged_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long, wide, data = flac(900, rate=8000, channels=1), flac(40), encode_audio(noise())
    monkeypatch.setattr("soundfile.SoundFile.read", lambda *_, **__: pytest.fail("samples were decoded"))
    assert inspect(tmp_path / "a.flac", long).reason == "too_long"
    assert inspect(tmp_path / "a.flac", wide).reason == "too_large"
    assert inspect(tmp_path / "a.flac", data, SongLimits(1.0, 60.0, 0.01)).reason == "too_large"
    monkeypatch.setattr("pipelines.tokens.songs.source.read_bytes", lambda *_, **__: pytest.fail("the file was read"))
    assert inspect_file(line(tmp_path / "a.flac", size=20_000_000), LIMITS).reason == "too_large"


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    found = inspect_file(line(tmp_path / "pipe.wav"), LIMITS)
    assert found.reason == "unreadable"
    assert "not a regular file" in found.message
    assert inspect_file(line(Path("/nowhere\0.wav")), LIMITS).reason == "unreadable"
    found = inspect_file(entry_to_json(CatalogEntry("https://example.org/a.wav", "")), LIMITS)
    assert found.reason == "host"


def test_surprises_are_reasons_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room for \udcff")

    monkeypatch.setattr("pipelines.tokens.songs.inspect.read_mix", fail)
    batch = pa.table({"entry": [line(tmp_path / "a.wav")]})
    [row] = inspect_files(batch, limits=LIMITS).to_pylist()
    assert (row["reason"], row["message"]) == ("failed:MemoryError", "no room for ?")


def test_a_batch_keeps_its_order_and_schema(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encode_audio(noise()))
    lines = [line(tmp_path / name) for name in ("gone.wav", "a.wav", "gone.wav")]
    table = inspect_files(pa.table({"entry": lines}), limits=LIMITS)
    assert table.schema == INSPECTED
    assert table["fingerprint"].to_pylist() == ["gone.wav", "a.wav", "gone.wav"]
    assert table["reason"].to_pylist() == ["missing", "", "missing"]


def _pcm(container: str) -> bytes:
    buffer = io.BytesIO()
    samples = (noise().samples.T * 20000).astype(np.int16)
    soundfile.write(buffer, samples, 22050, format=container, subtype="PCM_16")
    return buffer.getvalue()


def test_equal_samples_are_one_song_whatever_holds_them() -> None:
    audio = read_audio(_pcm("WAV"))
    assert song_id(audio) == song_id(read_audio(_pcm("FLAC")))
    assert song_id(audio) == hashlib.blake2b(b"22050 2" + audio.samples.tobytes(), digest_size=16).hexdigest()
    other = Audio(audio.samples[:, :-1], audio.rate)
    faster = Audio(audio.samples, audio.rate * 2)
    assert len({song_id(audio), song_id(audio.mono()), song_id(other), song_id(faster)}) == 4


def test_given_stems_are_one_song_and_a_broken_one_spoils_it(tmp_path: Path) -> None:
    low, high = noise(3.0), noise(2.0, channels=1)
    (tmp_path / "bass.wav").write_bytes(_float_wav(low.samples.T))
    (tmp_path / "drums.wav").write_bytes(_float_wav(high.samples.T))
    stems = tuple(GivenStem(name, (str(tmp_path / f"{name}.wav"),)) for name in ("bass", "drums"))
    entry = entry_to_json(CatalogEntry(str(tmp_path), "", stems=stems))
    mix = low.samples.copy()
    mix[:, :44_100] += high.samples
    assert inspect_file(entry, LIMITS).song_id == song_id(Audio(mix, 22050))
    (tmp_path / "drums.wav").write_bytes(b"words")
    assert inspect_file(entry, LIMITS).reason == "unreadable"


@dataclass(frozen=True)
class Corpus:
    expected: dict[str, Expected]
    found: dict[str, Found]
    culprit: str


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("corpus")
    expected = build_corpus(root)
    # The longest songs that are taken, in two channels and, by a file that does not say how long it is, in eight.
    (root / "zz 2.flac").write_bytes(flac(29_990, block=480, channels=2, level=8000))
    (root / "zz 8.flac").write_bytes(flac(7_490, block=480, channels=8, level=8000, total=0))
    songs = dict.fromkeys(("zz 2.flac", "zz 8.flac"), frozenset({SONG}))
    return Corpus(expected | songs, *inspect_folder(root))


def test_hundreds_of_malformed_files_neither_crash_nor_hang(corpus: Corpus) -> None:
    assert corpus.culprit == ""
    assert corpus.found.keys() == corpus.expected.keys()
    assert len(corpus.found) > 400


def test_each_is_a_song_or_has_the_right_reason(corpus: Corpus) -> None:
    got = {name: found.reason or SONG for name, found in corpus.found.items()}
    wrong = {
        name: (code, corpus.found[name].message) for name, code in got.items() if code not in corpus.expected[name]
    }
    assert wrong == {}
    assert set(got.values()) - {SONG} <= REASONS.keys()
    assert all(bool(found.message) == bool(found.reason) != bool(found.song_id) for found in corpus.found.values())


def test_the_corpus_takes_every_way_out(corpus: Corpus) -> None:
    codes = {"missing", "empty", "unreadable", "truncated", "unsupported", "not_finite", "out_of_range"}
    codes |= {"too_short", "too_long", "too_large", "silent", ""}
    assert {found.reason for found in corpus.found.values()} == codes


def test_memory_stays_near_that_of_the_longest_song(corpus: Corpus) -> None:
    peaks = [found.peak_mb for found in corpus.found.values()]
    start = next(found.peak_mb for found in corpus.found.values() if found.song_id)
    assert peaks == sorted(peaks)
    assert peaks[-1] - start < 2 * CORPUS_LIMITS.decoded_bytes / 2**20
