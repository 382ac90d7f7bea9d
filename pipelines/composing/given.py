"""The song that an edit or a continuation is given: a mixed file, or a folder of stems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.audio.files import Audio, read_audio
from models.audio.stem_files import stems_in
from models.files.output_listing import MANIFEST
from models.request_bounds import check_length
from models.song.assembly import Assembly
from models.song.rest import REST, like, rest_of
from models.song.source import Source
from pipelines.composing.folder import CODES


@dataclass(frozen=True)
class GivenSong:
    """A song to change.

    Args:
        sources: the stems, as the model reads them.
        originals: the same stems at the song's own rate and channels.
        rest: what the song holds beside them, at its own rate and channels; None for nothing.
        mono_rest: the same as the model's sound, mono at its rate.
    """

    sources: dict[str, Source]
    originals: dict[str, Audio]
    rest: Audio | None
    mono_rest: Audio | None


def read_given(assembly: Assembly, song: Path, *, silent: list[str], rest: bool) -> GivenSong:
    """Read a song; a mixed one is separated.

    Args:
        assembly: the model.
        song: an audio file, or a folder with one file per stem. Of a folder that `stems` wrote with this model, the
            tokens are read, too.
        silent: stems to leave out.
        rest: keep what the song holds beside the stems.

    Raises:
        StemsError: the song or a part of it cannot be read, or is too short or too long.
    """
    given = _folder(assembly, song, rest) if song.is_dir() else _mixed(assembly, song, rest)
    kept = {name: source for name, source in given.sources.items() if name not in silent}
    return GivenSong(kept, {name: given.originals[name] for name in kept}, given.rest, given.mono_rest)


def _folder(assembly: Assembly, folder: Path, rest: bool) -> GivenSong:
    names = assembly.layout.names
    files = stems_in(folder, (*names, *({REST} - set(names))))
    rest_file = None if REST in names else files.pop(REST, None)
    files = files or stems_in(folder, names)
    sounds = {name: read_audio(file) for name, file in files.items()}
    for name, sound in sounds.items():
        check_length(sound.seconds, name, "song")
    codes = _known_codes(folder, files, assembly)
    sources = {name: Source(sound, codes.get(name)) for name, sound in sounds.items()}
    there = read_audio(rest_file) if rest and rest_file is not None else None
    mono = None if there is None else there.mono().resample(assembly.sample_rate)
    return GivenSong(sources, sounds, there, mono)


def _mixed(assembly: Assembly, file: Path, rest: bool) -> GivenSong:
    song = read_audio(file, max_seconds=assembly.max_seconds)
    check_length(song.seconds, file.name, "song")
    song = song if song.samples.shape[0] <= 2 else song.stereo()
    stems = assembly.separate(song, mono=False)
    sources, originals = ({name: Source(stem) for name, stem in stems.items()}, _all_like(stems, song))
    if not rest or REST in stems:
        return GivenSong(sources, originals, None, None)
    mono = song.mono().resample(assembly.sample_rate)
    at_rate = [stem.mono().resample(mono.rate) for stem in stems.values()]
    return GivenSong(sources, originals, rest_of(song, originals.values()), rest_of(mono, at_rate))


def _all_like(stems: Mapping[str, Audio], song: Audio) -> dict[str, Audio]:
    return {name: like(stem, song) for name, stem in stems.items()}


def _known_codes(folder: Path, files: Mapping[str, Path], assembly: Assembly) -> dict[str, np.ndarray]:
    """The tokens of stems in a folder that this model wrote; none of stems whose sound is another."""
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if said["model"] != assembly.digest or said["layout"] != str(assembly.layout):
            return {}
        if said["gain"] != 1:  # the tokens are of a louder sound
            return {}
        digests = said["sha256"]
        if digests[CODES] != _sha256(folder / CODES):
            return {}
        codes = np.load(folder / CODES, allow_pickle=False)
        return {
            name: codes[assembly.layout.slice(name)]
            for name, file in files.items()
            if digests.get(file.name) == _sha256(file)
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # another's manifest, or an older one
        return {}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
