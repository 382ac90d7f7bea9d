"""A file is as long as the sound that was put into it, whatever its header says of that; or it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.lengths import RATE, WRONG_LENGTHS, Case, ape, by_ffmpeg, cut_files, heard_by_ffmpeg, mp3, song

from models.audio import audio_info, read_audio, read_excerpt
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
        ("without its middle.mp3", "unreadable", r"30,000 bytes, or 3\.0 s, between its frames are no audio"),
        ("half.ogg", "truncated", "before the page that ends its stream"),
        ("a page damaged.ogg", "unreadable", "1 of its 12 pages fail their checksum"),
        ("a page missing.ogg", "unreadable", "pages missing in its middle: 1"),
        ("second link cut.ogg", "truncated", "before the page"),
        ("half.flac", "truncated", "after 2.5 s of 5.0 s"),
        ("counts twice.flac", "truncated", "after 5.0 s of 10.0 s"),
        ("half.wav", "truncated", "after 2.0 s of 4.0 s"),
        ("bytes behind.wav", "unreadable", r"4\.0 s by its header, and 200,000 bytes follow"),
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


def test_the_end_of_a_file_can_be_read_alone_where_its_length_is_estimated(tmp_path: Path) -> None:
    """A CBR MP3 without Xing header, behind whose frames 400 KB of tags count as audio in the estimate."""
    (tmp_path / "song.mp3").write_bytes(mp3(8, vbr=False, xing=False) + ape(400_000))
    whole = read_audio(tmp_path / "song.mp3").samples
    part = read_excerpt(tmp_path / "song.mp3", RATE, whole.shape[1] - 9000, 20_000).samples
    assert part.shape[1] == 9000
    np.testing.assert_allclose(part, whole[:, -9000:], atol=1e-3)
