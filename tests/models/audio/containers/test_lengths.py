"""A file is as long as the sound that was put into it, whatever its header says of that; or it is refused."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.by_ffmpeg import RATE, by_ffmpeg, film, heard_by_ffmpeg, song
from helpers.containers import id3, ogg_sealed
from helpers.lengths import WRONG_LENGTHS, Case, ape, cut_files, mp3, put
from helpers.odd_songs import encoded

from models.audio.files import audio_info, read_audio, read_excerpt
from models.errors import StemsError

WITHIN_S = 0.03


@pytest.mark.parametrize("kind", WRONG_LENGTHS)
def test_a_file_is_as_long_as_the_sound_in_it(kind: str, tmp_path: Path) -> None:
    wrong: dict[str, object] = {}
    for case in WRONG_LENGTHS[kind]():
        (tmp_path / case.name).write_bytes(case.data)
        wrong |= _wrong(case, tmp_path / case.name)
    assert not wrong


def _wrong(case: Case, path: Path) -> dict[str, object]:
    """The lengths that a file has for its readers, if they are not those of the sound in it."""
    try:
        by_bytes, by_path = read_audio(case.data).seconds, read_audio(path).seconds
        counted = audio_info(case.data).seconds or by_bytes
    except StemsError as error:
        return {case.name: str(error)}
    lengths = [by_bytes, by_path, counted]
    right = all(-WITHIN_S <= seconds - case.seconds <= case.delay + WITHIN_S for seconds in lengths)
    return {} if right else {case.name: (case.seconds, lengths)}


# FFmpeg believes these headers, or does not open the file.
MISLEADS_FFMPEG = {
    "data counts half.wav", "data 0 and chunks behind.wav", "data ff and chunks behind.wav",
    "tag in front.wav", "rf64 counts 0.wav", "rf64 counts half.wav",
    "sound chunk counts 0.aiff", "sound chunk counts half.aiff", "samples counted ff.aif", "counts 0.au",
    "alac counts -1.caf", "counts 0.w64", "counts 24.w64", "counts half.w64", "counts -1.w64",
}  # fmt: skip

# It keeps what the encoder added between joined files.
JOINED_S = 0.07


@pytest.mark.parametrize("kind", ["mp3", "ogg", "wav", "flac", "others"])
def test_another_decoder_hears_as_much(kind: str) -> None:
    wrong = {}
    for case in WRONG_LENGTHS[kind]():
        ours, theirs = read_audio(case.data).seconds, heard_by_ffmpeg(case.data)
        within = WITHIN_S + case.delay + (JOINED_S if "joined" in case.name else 0)
        if (abs(ours - theirs) > within) != (case.name in MISLEADS_FFMPEG):
            wrong[case.name] = (ours, theirs)
    assert not wrong


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("half.mp3", "truncated", "after 3.3 s of 6.0 s"),
        ("second half cut.mp3", "truncated", "after 3.3 s of 6.0 s"),
        ("without its middle.mp3", "unreadable", r"30,000 bytes, or 3\.0 s, between its frames are not audio"),
        ("zeros in its middle.mp3", "unreadable", r"or \d\.\d s, between its frames are not audio"),
        ("half.ogg", "truncated", "before the page that ends its stream"),
        ("a page damaged.ogg", "unreadable", "1 of its 12 pages fail their checksum"),
        ("a page missing.ogg", "unreadable", "pages missing in its middle: 1"),
        ("second link cut.ogg", "truncated", "before the page"),
        ("half.flac", "truncated", "after 2.5 s of 5.0 s"),
        ("counts twice.flac", "truncated", "after 5.0 s of 10.0 s"),
        ("half.wav", "truncated", "after 2.0 s of 4.0 s"),
        ("bytes behind.wav", "unreadable", r"4\.0 s by its header, but 200,000 more bytes follow"),
        ("half.m4a", "truncated", "bytes before its end"),
        ("half of a fast start.m4a", "truncated", "bytes before its end"),
        ("half.webm", "truncated", "bytes before its end"),
    ],
)
def test_a_file_of_which_some_is_missing_is_refused(name: str, code: str, said: str, tmp_path: Path) -> None:
    data = cut_files()[name]
    (tmp_path / name).write_bytes(data)
    for source in (data, tmp_path / name):
        with pytest.raises(StemsError, match=said) as caught:
            read_audio(source)
        assert caught.value.code == code


def test_a_part_of_a_file_that_cannot_be_sought_in_is_that_of_the_whole(tmp_path: Path) -> None:
    for name, data in (("joined.mp3", mp3() + mp3()), ("phone.m4a", by_ffmpeg(song(12), RATE, "ipod", "aac"))):
        (tmp_path / name).write_bytes(data)
        whole = read_audio(tmp_path / name).resample(16_000).samples
        part = read_excerpt(tmp_path / name, 16_000, 150_000, 20_000)
        np.testing.assert_array_equal(part.samples, whole[:, 150_000:170_000])


def test_a_part_is_that_of_the_whole_to_its_last_sample(tmp_path: Path) -> None:
    """Of an M4A with more samples than its header promises, and of an encoding that cannot be sought in."""
    gsm = encoded(song(2, 8000, channels=1), 8000, "WAV", "GSM610")
    for name, data in (("phone.m4a", by_ffmpeg(song(5), RATE, "ipod", "aac")), ("gsm.wav", gsm)):
        (tmp_path / name).write_bytes(data)
        whole = read_audio(tmp_path / name)
        part = read_excerpt(tmp_path / name, whole.rate, whole.samples.shape[1] - 3000, 9000)
        np.testing.assert_array_equal(part.samples, whole.samples[:, -3000:])


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_a_part_of_a_vbr_mp3_has_the_bits_of_the_frames_before_it(rate: int, tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(mp3(rate=rate))
    whole = read_audio(tmp_path / "song.mp3").samples
    for start in range(1000, whole.shape[1] - 6000, rate // 5):
        part = read_excerpt(tmp_path / "song.mp3", rate, start, 6000).samples
        np.testing.assert_allclose(part, whole[:, start : start + 6000], atol=1e-5)


@pytest.mark.parametrize(("rate", "tag"), [(8000, b""), (44_100, b""), (44_100, id3(3000))])
def test_a_part_of_the_last_page_of_vorbis_is_in_its_place(rate: int, tag: bytes, tmp_path: Path) -> None:
    (tmp_path / "song.ogg").write_bytes(tag + encoded(song(5, rate), rate, "OGG", "VORBIS"))
    whole = read_audio(tmp_path / "song.ogg").samples
    for start in range(0, whole.shape[1], rate // 10):
        part = read_excerpt(tmp_path / "song.ogg", rate, start, 500).samples
        np.testing.assert_allclose(part, whole[:, start : start + 500], atol=1e-5)


def test_files_of_thousands_of_pieces_are_refused_before_they_fill_the_memory() -> None:
    with pytest.raises(StemsError, match="is 1,200 concatenated files; the limit is 1,000") as caught:
        read_audio(1200 * encoded(song(0.01), RATE, "FLAC", "PCM_16"))
    assert caught.value.code == "unsupported"


def test_an_ogg_of_as_many_streams_as_pages_is_read_in_the_time_of_its_pages() -> None:
    """Seven seconds where each stream looks at all pages, and a tenth of one where each page is looked at once."""
    pages = [bytearray(b"OggS\0\2" + bytes(8) + struct.pack("<III", n, 0, 0) + b"\1\1x") for n in range(20_000)]
    pages[-1][5] |= 4
    data = b"".join(map(ogg_sealed, pages))
    start = time.process_time()
    with pytest.raises(StemsError):
        read_audio(data)
    assert time.process_time() - start < 3


def test_pictures_that_go_on_behind_the_sound_are_no_reason_to_refuse_it() -> None:
    """A WebM states the length of the longest of its streams."""
    whole = film(song(5, 48_000), 9.0)
    assert read_audio(whole).seconds == pytest.approx(5, abs=WITHIN_S)
    with pytest.raises(StemsError):
        read_audio(whole[: len(whole) // 2])


def test_an_m4a_without_channels_is_refused() -> None:
    data = by_ffmpeg(song(1), RATE, "ipod", "alac")
    entry, codec = data.index(b"alac"), data.rindex(b"alac")
    with pytest.raises(StemsError, match="has 0 channels") as caught:
        read_audio(put(put(data, entry + 20, bytes(2)), codec + 17, bytes(1)))
    assert caught.value.code == "unsupported"


def test_the_end_of_a_file_can_be_read_alone_where_its_length_is_estimated(tmp_path: Path) -> None:
    """A CBR MP3 without Xing header, behind whose frames 400 KB of tags count as audio in the estimate."""
    (tmp_path / "song.mp3").write_bytes(mp3(8, vbr=False, xing=False) + ape(400_000))
    whole = read_audio(tmp_path / "song.mp3").samples
    part = read_excerpt(tmp_path / "song.mp3", RATE, whole.shape[1] - 9000, 20_000).samples
    assert part.shape[1] == 9000
    np.testing.assert_allclose(part, whole[:, -9000:], atol=1e-3)
