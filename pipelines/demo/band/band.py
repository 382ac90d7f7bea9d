"""The band: one call plays a song with known stems, beats, chords and notes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from models.errors import StemsError
from pipelines.demo.band import captions, parts
from pipelines.demo.band.drumkit import build_kit
from pipelines.demo.band.score import Arrangement, Hit, Note, write_arrangement
from pipelines.demo.band.style import BandLayer
from pipelines.demo.band.styles import STYLES
from pipelines.demo.band.synth import RATE, Samples, add, db, drive, envelope, filtered, pan, reverb, rms
from pipelines.demo.band.timbres import Player, wobble
from pipelines.demo.band.voice import hire_singer, sing

PEAK = 0.9
SHORTEST = 2.0  # seconds
_LEVELS = {"bass": -17.5, "drums": -19.0, "other": -20.0, "vocals": -20.0}  # dB RMS before the final scaling
_LEVEL_SPREAD = 1.5  # dB, uniform
_DRUM_LEVELS = {
    "snare": -1.0, "clap": -3.0, "rim": -5.0, "hat": -9.0, "open": -10.0, "ride": -12.0,
    "crash": -9.0, "shaker": -12.0, "tom_high": -3.0, "tom_low": -2.0,
}  # fmt: skip
_LEAD_LOW = 67
_LEAD_SECTIONS = ("chorus",)
_SUNG_SECTIONS = ("verse", "chorus")


@dataclass(frozen=True)
class Performance:
    """A song and the truth about it. Times in seconds.

    Attributes:
        stems: name -> float32 [2, n]: bass, drums, other, and vocals where there is singing.
        mix: float32 [2, n], the sum of the stems; its peak is 0.9.
        rate: Hz.
        tempo: beats a minute.
        beats, downbeats: their times; bars have four beats.
        key: ``E minor``.
        chords: (start, end, name in Harte's syntax).
        bass_notes: what the bass plays; pitches are MIDI numbers.
        caption, tags: what is heard, in words.
        style: a name from ``STYLES``.
    """

    stems: dict[str, Samples]
    mix: Samples
    rate: int
    tempo: int
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]
    key: str
    chords: list[tuple[float, float, str]]
    bass_notes: list[Note]
    caption: str
    tags: list[str]
    style: str

    @property
    def seconds(self) -> float:
        """Length of the song."""
        return self.mix.shape[1] / self.rate


def play(
    seed: int,
    style: str | None = None,
    sung: bool = False,
    seconds: float = 30.0,
    singing_said: bool = False,
) -> Performance:
    """Play a song. The same arguments give the same samples.

    Args:
        seed: decides everything that the other arguments leave open.
        style: a name from ``STYLES``; drawn from the seed when None.
        sung: add a singer, as the stem ``vocals``, in place of the lead instrument.
        seconds: length of the song, at least 2.
        singing_said: whether the tags of a sung song mention the singing.

    Raises:
        StemsError: for an unknown style, or fewer than 2 seconds.
    """
    if style is not None and style not in STYLES:
        raise StemsError(f"The band knows no style '{style}'.", f"Choose from: {', '.join(STYLES)}.", field="style")
    if seconds < SHORTEST:
        raise StemsError(
            f"A song of {seconds} s is too short.", f"Ask for {SHORTEST:.0f} s or more.", field="seconds"
        )
    chosen = style or str(_rng(seed, "style").choice(list(STYLES)))
    arrangement = write_arrangement(STYLES[chosen], seconds, _rng(seed, "plan"))
    lead = "" if sung or _rng(seed, "lead").random() < 0.35 else arrangement.style.lead
    bass = parts.play_bass(arrangement, _rng(seed, "bass"))
    stems = {
        "bass": _record_bass(arrangement, bass, seed),
        "drums": _record_drums(arrangement, parts.play_drums(arrangement, _rng(seed, "drums")), seed),
        "other": _record_other(arrangement, lead, seed),
    }
    if sung:
        stems["vocals"] = _record_vocals(arrangement, seed)
    stems = _balance(stems, _rng(seed, "levels"))
    return Performance(
        stems=stems,
        mix=mix_down(stems),
        rate=RATE,
        tempo=arrangement.tempo,
        beats=arrangement.beats,
        downbeats=arrangement.downbeats,
        key=arrangement.key.name,
        chords=[(start, end, chord.name(arrangement.key)) for start, end, chord in arrangement.spans()],
        bass_notes=bass,
        caption=captions.describe(arrangement, lead, _rng(seed, "caption")),
        tags=captions.label(arrangement, lead, singing_said=sung and singing_said, rng=_rng(seed, "tags")),
        style=chosen,
    )


def mix_down(stems: dict[str, Samples]) -> Samples:
    """The sum of the stems, in their order, float32."""
    first, *rest = stems.values()
    mix = first.copy()
    for samples in rest:
        mix += samples
    return mix


def _rng(seed: int, part: str) -> np.random.Generator:
    # A stream of its own for each part: adding a singer changes nothing in the bass.
    return np.random.default_rng([seed, zlib.crc32(part.encode())])


def _silence(arrangement: Arrangement, channels: int = 2) -> Samples:
    return np.zeros((channels, round(arrangement.seconds * RATE)), np.float32)


def _record_notes(track: Samples, notes: list[Note], player: Player) -> None:
    for note in notes:
        # Lengths in steps of 10 ms keep the number of distinct notes small.
        length = max(1, round((note.end - note.start) * 100)) * RATE // 100
        add(track, player.note(note.pitch, length, note.velocity), round(note.start * RATE), 1.0)


def _record_bass(arrangement: Arrangement, notes: list[Note], seed: int) -> Samples:
    track = _silence(arrangement, channels=1)
    _record_notes(track, notes, Player.hire(arrangement.style.bass_timbre, _rng(seed, "bass timbre")))
    return pan(drive(track[0], 1.2), 0.0)


def _record_drums(arrangement: Arrangement, hits: list[Hit], seed: int) -> Samples:
    rng = _rng(seed, "kit")
    kit, sounds = build_kit(arrangement.style.kit, rng)
    track = _silence(arrangement)
    for number, hit in enumerate(hits):
        takes = sounds[hit.drum]
        level = _DRUM_LEVELS.get(hit.drum, kit.thump)
        gain = db(level) * hit.velocity**1.5
        add(track, takes[number % len(takes)], round(hit.time * RATE), gain)
    track = drive(track, kit.drive)
    return track + reverb(track, rng, 0.5) * np.float32(kit.room)


def _record_other(arrangement: Arrangement, lead: str, seed: int) -> Samples:
    dry, sent = _silence(arrangement), _silence(arrangement)
    for number, layer in enumerate(arrangement.style.layers):
        notes = parts.play_layer(arrangement, layer, _rng(seed, f"layer {number}"))
        _record_layer(dry, sent, layer, notes, _rng(seed, f"timbre {number}"))
    if lead:
        melody = parts.play_melody(arrangement, _LEAD_LOW, _LEAD_SECTIONS, _rng(seed, "melody"))
        _record_layer(dry, sent, BandLayer(lead, (), pan=0.1, level=0.9), melody, _rng(seed, "lead timbre"))
    return dry + reverb(sent, _rng(seed, "room"), 1.2)


def _record_layer(dry: Samples, sent: Samples, layer: BandLayer, notes: list[Note], rng: np.random.Generator) -> None:
    """Mix one instrument into ``dry``, and what of it goes to the room into ``sent``."""
    player = Player.hire(layer.instrument, rng)
    tone = player.instrument
    track = np.zeros((2 if tone.detune else 1, dry.shape[1]), np.float32)
    _record_notes(track, notes, player)
    if not track.any():
        return
    if tone.drive:
        track = filtered(drive(track, tone.drive), high=4500.0)
    # Layers are balanced where they play, so that one that rests for long is not the loudest.
    sounding = np.abs(track[0]) > 0.02 * np.abs(track[0]).max()
    gain = layer.level * np.sqrt(max(float(sounding.mean()), 0.05)) / rms(track)
    stereo = track * (pan(np.ones(1, np.float32), layer.pan) * np.float32(gain))
    if tone.tremolo:
        stereo = wobble(stereo, tone.tremolo, float(rng.uniform(3.5, 6.0)))
    dry += stereo
    sent += stereo * np.float32(tone.wet)


def _record_vocals(arrangement: Arrangement, seed: int) -> Samples:
    rng = _rng(seed, "vocals")
    singer = hire_singer(rng)
    notes = parts.play_melody(arrangement, singer.low, _SUNG_SECTIONS, rng)
    voice = pan(sing(notes, singer, round(arrangement.seconds * RATE), rng), 0.0)
    return voice + reverb(voice, rng, 1.0) * np.float32(0.15)


def _balance(stems: dict[str, Samples], rng: np.random.Generator) -> dict[str, Samples]:
    """Bring stems to their levels, fade the end, and scale all by one factor for the mix's peak."""
    n = next(iter(stems.values())).shape[1]
    fade = envelope(n, 0.0, 0.25)
    levelled = {}
    for name, samples in stems.items():
        gain = db(_LEVELS[name] + rng.uniform(-_LEVEL_SPREAD, _LEVEL_SPREAD)) / max(rms(samples), 1e-9)
        levelled[name] = samples * fade * np.float32(gain)
    scale = np.float32(PEAK / max(float(np.abs(mix_down(levelled)).max()), 1e-9))
    return {name: samples * scale for name, samples in levelled.items()}
