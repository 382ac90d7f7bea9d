"""The styles that the band knows: tempo, grooves, chord progressions, instruments and words.

Grooves are text, one character a sixteenth note, 16 to a bar of 4/4; a longer pattern runs over several bars.

- drums: ``X`` accent, ``x`` normal, ``o`` ghost note, ``.`` nothing.
- bass: ``R`` root, ``3 5 7`` chord degrees, ``8`` octave, ``a`` a semitone approach to the next root,
  ``-`` hold, ``.`` rest. Every bar starts with ``R``.
- chords: ``X``/``x``/``o`` strike, ``-`` hold, ``.`` rest. Arpeggios: digits pick a chord tone.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.demo.harmony import Mode

STEPS = 16  # sixteenth notes in a bar


@dataclass(frozen=True)
class Layer:
    """One instrument of the ``other`` stem and what it plays.

    Attributes:
        instrument: a name from ``timbres.INSTRUMENTS``.
        patterns: grooves to choose from, by song.
        low: lowest pitch of its voicings (MIDI).
        size: number of notes in a chord.
        pan: -1 left … 1 right.
        level: gain relative to the other layers.
        sections: the kinds of section in which it plays.
        arpeggio: patterns pick single chord tones instead of striking the chord.
    """

    instrument: str
    patterns: tuple[str, ...]
    low: int = 55
    size: int = 3
    pan: float = 0.0
    level: float = 1.0
    sections: tuple[str, ...] = ("intro", "verse", "chorus", "break")
    arpeggio: bool = False


@dataclass(frozen=True)
class Style:
    """Everything that makes a style; see the module for the notation."""

    name: str
    tempo: tuple[int, int]
    swing: float
    progressions: dict[Mode, tuple[str, ...]]
    drums: tuple[dict[str, str], ...]
    chorus_drums: dict[str, str]
    fills: tuple[dict[str, str], ...]
    kit: str
    bass: tuple[str, ...]
    bass_timbre: str
    layers: tuple[Layer, ...]
    lead: str
    moods: tuple[str, ...]
    bass_words: tuple[str, ...]
    drum_words: tuple[str, ...]
    noun: str
    tags: tuple[str, ...]


_ROCK_FILLS = (
    {
        "kick": "X.......X.......",
        "snare": "....X.......xxXX",
        "tom_high": "........xx......",
        "tom_low": "..........xx....",
    },
    {"kick": "X...X...X...X...", "snare": "....X...xxxx....", "tom_low": "............xxXX"},
)
_GROOVE_FILLS = (
    {"kick": "X.....x...x.....", "snare": "....X..o.oX.xxXx", "hat": "x.x.x.x........."},
    {"kick": "X.......x.......", "snare": "....X...x.xx.x.X", "tom_low": ".............x.."},
)
_CLUB_FILLS = (
    {"kick": "X...X...X.......", "clap": "....X...x.x.xxxx", "hat": "x.x.x.x.x.x.xxxx"},
    {"kick": "X...X...........", "clap": "....X.......X...", "tom_high": "........x.xx.x.X"},
)

FUNK = Style(
    name="funk",
    tempo=(92, 112),
    swing=0.06,
    progressions={
        "minor": ("Am7 Am7 D9 D9", "Am7 D9 Am7 Em7", "Dm7 Am7 Em7 Am7", "Fmaj7 Em7 Am7 Am7"),
        "major": ("C9 C9 F9 C9", "C9 Bb6 F9 C9", "Am7 D9 Dm7 G9"),
    },
    drums=(
        {
            "kick": "X..x..x...x..x..",
            "snare": "....X..o.o..X..o",
            "hat": "xoxoxoxoxoxoxo.o",
            "open": "..............x.",
        },
        {"kick": "X.x....x..x.....", "snare": "....X..o.o..X.o.", "hat": "x.xox.xox.xox.xo"},
    ),
    chorus_drums={
        "kick": "X..x..x.X..x..x.",
        "snare": "....X..o.o..X..o",
        "hat": "x.x.x.x.x.x.x...",
        "open": "..............X.",
    },
    fills=_GROOVE_FILLS,
    kit="tight",
    bass=("R-.R..8.R-5.7-8.", "R..R.-8..R5-.78.", "R-R..8.5..R-7-5a"),
    bass_timbre="slap bass",
    layers=(
        Layer("electric piano", ("X--.x...x--..x-.", "X-----..x-..x--."), low=55, size=3, pan=-0.25),
        Layer(
            "wah guitar",
            ("..ox..ox..ox..ox", "o.oxo.ox..oxo.ox"),
            low=60,
            size=3,
            pan=0.55,
            level=0.5,
            sections=("verse", "chorus"),
        ),
        Layer(
            "brass",
            ("............x.x.", "X-........x.x-.."),
            low=60,
            size=3,
            pan=0.2,
            level=0.8,
            sections=("chorus",),
        ),
    ),
    lead="lead synth",
    moods=("laid-back", "gritty", "playful", "strutting"),
    bass_words=("a syncopated slap bass", "a popping slap bass line"),
    drum_words=("tight drums with ghost notes", "a dry, tight drum kit"),
    noun="funk groove",
    tags=("funk", "groove", "slap bass"),
)

HOUSE = Style(
    name="house",
    tempo=(120, 128),
    swing=0.03,
    progressions={
        "minor": ("Am7 Fmaj7 C G", "Am7 Em7 Fmaj7 Dm7", "Am9 Am9 Fmaj7 G", "Dm7 Em7 Am7 Am7"),
        "major": ("C Am7 F G", "Fmaj7 G Em7 Am7"),
    },
    drums=(
        {
            "kick": "X...X...X...X...",
            "clap": "....X.......X...",
            "open": "..x...x...x...x.",
            "hat": "o..oo..oo..oo..o",
        },
        {
            "kick": "X...X...X...X...",
            "clap": "....X.......X..o",
            "open": "..X...X...X...X.",
            "shaker": "oxoxoxoxoxoxoxox",
        },
    ),
    chorus_drums={
        "kick": "X...X...X...X...",
        "clap": "....X.......X...",
        "open": "..X...X...X...X.",
        "ride": "x...x...x...x...",
        "shaker": "oxoxoxoxoxoxoxox",
    },
    fills=_CLUB_FILLS,
    kit="club",
    bass=("R.R-..R-..R-..5.", "R-.R..R-.R..8-.5", "R...R-..R.R-..87"),
    bass_timbre="synth bass",
    layers=(
        Layer("house piano", ("X..x..x...x..x..", "x--x--x-..x--x--"), low=57, size=4, pan=-0.2),
        Layer("pad", ("X---------------",), low=52, size=4, level=0.55, sections=("intro", "chorus", "break")),
        Layer(
            "pluck",
            ("0.2.1.0.2.1.2.1.", "0..1..2.0..1..2."),
            low=67,
            size=3,
            pan=0.4,
            level=0.5,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
    ),
    lead="lead synth",
    moods=("uplifting", "hypnotic", "late-night", "euphoric"),
    bass_words=("a round synth bass", "a bouncing synth bass"),
    drum_words=("a four-on-the-floor kick with claps and open hats", "pumping club drums"),
    noun="house track",
    tags=("house", "electronic", "dance", "synth bass"),
)

ROCK_BALLAD = Style(
    name="rock ballad",
    tempo=(66, 82),
    swing=0.0,
    progressions={
        "minor": ("Am F C G", "Am C G Dm", "F G Am Am"),
        "major": ("C G Am F", "C Em F G", "F C G Am", "C Am F G"),
    },
    drums=(
        {"kick": "X.......X.x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "X.....x.X.......", "snare": "....X.......X...", "ride": "x.o.x.o.x.o.x.o."},
    ),
    chorus_drums={"kick": "X.....x.X.x...x.", "snare": "....X.......X...", "ride": "X.x.X.x.X.x.X.x."},
    fills=_ROCK_FILLS,
    kit="room",
    bass=("R-------R---5---", "R-----R-R-----5-", "R-------5-----8-"),
    bass_timbre="picked bass",
    layers=(
        Layer("piano", ("X-------x---x---", "X---x---x---x---"), low=55, size=3, pan=-0.3),
        Layer(
            "clean guitar",
            ("0.1.2.1.0.1.2.1.", "0.2.1.2.0.2.1.2."),
            low=60,
            size=3,
            pan=0.4,
            level=0.6,
            sections=("intro", "verse", "break"),
            arpeggio=True,
        ),
        Layer(
            "distorted guitar",
            ("X-------X-----x-", "X---------x---x-"),
            low=48,
            size=2,
            pan=0.35,
            level=0.7,
            sections=("chorus",),
        ),
    ),
    lead="lead guitar",
    moods=("heartfelt", "slow-burning", "wistful", "anthemic"),
    bass_words=("a steady picked bass", "a warm bass guitar holding the roots"),
    drum_words=("roomy, unhurried drums", "big drums with a wide snare"),
    noun="rock ballad",
    tags=("rock", "ballad", "bass guitar"),
)

BOSSA_NOVA = Style(
    name="bossa nova",
    tempo=(116, 140),
    swing=0.0,
    progressions={
        "minor": ("Am7 Dm7 Bm7b5,E7 Am7", "Am9 Am9 Dm7 E7", "Dm7 G9 Cmaj7 Fmaj7"),
        "major": ("Cmaj7 Am7 Dm7 G9", "Cmaj7 Cmaj7 Dm7 G7", "Em7 A7 Dm7 G9"),
    },
    drums=(
        {"kick": "X.....x.X.....x.", "rim": "x.....x.....x.......x.....x.....", "hat": "x.o.x.o.x.o.x.o."},
        {"kick": "X.....x.X.....x.", "rim": "x.....x.....x.......x...x.......", "shaker": "xoxoxoxoxoxoxoxo"},
    ),
    chorus_drums={
        "kick": "X.....x.X.....x.",
        "rim": "x.....x.....x.......x.....x.....",
        "ride": "x.o.x.o.x.o.x.o.",
        "shaker": "o.o.o.o.o.o.o.o.",
    },
    fills=({"kick": "X.....x.X.....x.", "rim": "x.....x.........", "snare": "........o.o.x.xo"},),
    kit="soft",
    bass=("R-----5-5-----R-", "R-----5-8-----5-", "R-----5-5---3-a-"),
    bass_timbre="upright bass",
    layers=(
        Layer(
            "nylon guitar",
            ("X-....X-..X-....X-....X-....X-..", "X-..X-....X-..X-..X-..X-....X-.."),
            low=55,
            size=4,
            pan=-0.2,
        ),
        Layer(
            "vibraphone",
            ("0-------2---1---", "......2-----1---"),
            low=67,
            size=3,
            pan=0.45,
            level=0.5,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
        Layer("strings", ("X---------------",), low=59, size=3, level=0.4, sections=("chorus",)),
    ),
    lead="flute",
    moods=("breezy", "intimate", "sunlit", "elegant"),
    bass_words=("a soft upright bass", "a walking-light double bass"),
    drum_words=("cross-stick and brushed hats", "a light rim-click pattern"),
    noun="bossa nova",
    tags=("bossa nova", "latin", "upright bass", "acoustic"),
)

REGGAE = Style(
    name="reggae",
    tempo=(70, 86),
    swing=0.1,
    progressions={
        "minor": ("Am Dm Am Em", "Am G Am G", "Dm Am Em Am"),
        "major": ("C F C G", "C Am F G", "C Dm F C"),
    },
    drums=(
        {"kick": "........X.......", "rim": "........x.......", "hat": "x.x.x.xox.x.x.x."},
        {"kick": "o.......X.....o.", "snare": "........X.......", "hat": "x.o.x.o.x.o.x.oo"},
    ),
    chorus_drums={
        "kick": "X...X...X...X...",
        "snare": "........X.......",
        "hat": "x.x.x.xox.x.x.x.",
        "open": "..............x.",
    },
    fills=(
        {"kick": "........X.......", "snare": "x..x..x.X.......", "tom_low": "..........x.x.xx"},
        {"kick": "........X.......", "tom_high": "....x.xx........", "tom_low": "..........xx.x.x"},
    ),
    kit="dub",
    bass=("R-..R-3-5-..3-R-", "R--..-R-5--.R-3-", "R-R-..5-..R-..35"),
    bass_timbre="dub bass",
    layers=(
        Layer("skank guitar", ("....X.......X...", "....X.....x.X..."), low=60, size=3, pan=0.4, level=0.8),
        Layer(
            "organ",
            ("..xx..xx..xx..xx", "..x.x.x...x.x.x."),
            low=57,
            size=3,
            pan=-0.45,
            level=0.7,
            sections=("verse", "chorus", "break"),
        ),
    ),
    lead="melodica",
    moods=("easygoing", "smoky", "sun-warmed", "rootsy"),
    bass_words=("a deep, melodic bass", "a heavy dub bass"),
    drum_words=("one-drop drums", "a loose one-drop beat"),
    noun="reggae tune",
    tags=("reggae", "dub", "offbeat guitar"),
)

SYNTHWAVE = Style(
    name="synthwave",
    tempo=(88, 112),
    swing=0.0,
    progressions={
        "minor": ("Am F C G", "Am Am F G", "F G Am Em", "Dm F Am G"),
        "major": ("C G Am F", "F C G Am"),
    },
    drums=(
        {"kick": "X...X...X...X...", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
        {"kick": "X.....x.X.......", "snare": "....X.......X...", "hat": "xoxoxoxoxoxoxoxo"},
    ),
    chorus_drums={
        "kick": "X...X...X...X.x.",
        "snare": "....X.......X...",
        "hat": "x.x.x.x.x.x.x.x.",
        "open": "..x...x...x...x.",
    },
    fills=(
        {
            "kick": "X...X...X.......",
            "snare": "....X.......X.XX",
            "tom_high": "........xxx.....",
            "tom_low": "...........xx...",
        },
    ),
    kit="gated",
    bass=("R.R.R.R.R.R.R.R.", "R.R.8.R.R.R.8.R.", "RRR.RRR.RRR.RR5."),
    bass_timbre="saw bass",
    layers=(
        Layer("saw pad", ("X---------------",), low=53, size=3),
        Layer(
            "arp synth",
            ("0121012101210121", "0.1.2.1.0.1.2.1.", "012.012.012.0121"),
            low=64,
            size=3,
            pan=0.3,
            level=0.7,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
        Layer(
            "bells",
            ("2-------1-------", "0-----2-----1---"),
            low=72,
            size=3,
            pan=-0.4,
            level=0.45,
            sections=("intro", "break"),
            arpeggio=True,
        ),
    ),
    lead="lead synth",
    moods=("nostalgic", "neon-lit", "driving", "dreamy"),
    bass_words=("a pulsing saw bass", "an eighth-note analog bass"),
    drum_words=("gated electronic drums", "a punchy drum machine with a gated snare"),
    noun="synthwave track",
    tags=("synthwave", "80s", "electronic", "synth bass"),
)

HIP_HOP = Style(
    name="lo-fi hip hop",
    tempo=(74, 90),
    swing=0.16,
    progressions={
        "minor": ("Am9 Dm7 Em7 Am9", "Fmaj7 Em7 Am9 Am9", "Dm9 Am7 Dm9 Em7"),
        "major": ("Cmaj7 Am9 Dm7 G9", "Fmaj7 Em7 Dm7 Cmaj7"),
    },
    drums=(
        {"kick": "X..x......x.....", "snare": "....X.......X...", "hat": "x.x.x.xox.x.x.x."},
        {"kick": "X......x.x......", "snare": "....X.......X..o", "hat": "x.x.x.x.x.xox.x."},
    ),
    chorus_drums={
        "kick": "X..x...x..x.....",
        "snare": "....X.......X...",
        "hat": "xox.x.xox.x.xox.",
        "open": "..............o.",
    },
    fills=_GROOVE_FILLS,
    kit="dusty",
    bass=("R--...R-..5-....", "R---..3-R-..5-..", "R-..R-....R-5-7-"),
    bass_timbre="sub bass",
    layers=(
        Layer("electric piano", ("X-----x---------", "X--x------x-----"), low=55, size=4, pan=-0.15),
        Layer(
            "vibraphone",
            ("....2---1-------", "0---....2---....", "..1-..2-....0---"),
            low=67,
            size=3,
            pan=0.4,
            level=0.45,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
        Layer("pad", ("X---------------",), low=52, size=3, level=0.4, sections=("chorus", "break")),
    ),
    lead="flute",
    moods=("mellow", "hazy", "rainy-day", "sleepy"),
    bass_words=("a round sub bass", "a deep, soft bass"),
    drum_words=("dusty swung drums", "a lazy boom-bap beat"),
    noun="lo-fi hip hop beat",
    tags=("lo-fi", "hip hop", "chill"),
)

STYLES: dict[str, Style] = {
    style.name: style for style in (FUNK, HOUSE, ROCK_BALLAD, BOSSA_NOVA, REGGAE, SYNTHWAVE, HIP_HOP)
}
