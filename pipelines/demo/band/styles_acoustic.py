"""Styles of bands with guitars and drummers: funk, rock ballad, bossa nova, reggae."""

from __future__ import annotations

from pipelines.demo.band.style import GROOVE_FILLS, BandLayer, Style

_ROCK_FILLS = (
    {
        "kick": "X.......X.......",
        "snare": "....X.......xxXX",
        "tom_high": "........xx......",
        "tom_low": "..........xx....",
    },
    {"kick": "X...X...X...X...", "snare": "....X...xxxx....", "tom_low": "............xxXX"},
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
    fills=GROOVE_FILLS,
    kit="tight",
    bass=("R-.R..8.R-5.7-8.", "R..R.-8..R5-.78.", "R-R..8.5..R-7-5a"),
    bass_timbre="slap bass",
    layers=(
        BandLayer("electric piano", ("X--.x...x--..x-.", "X-----..x-..x--."), low=55, size=3, pan=-0.25),
        BandLayer(
            "wah guitar",
            ("..ox..ox..ox..ox", "o.oxo.ox..oxo.ox"),
            low=60,
            size=3,
            pan=0.55,
            level=0.5,
            sections=("verse", "chorus"),
        ),
        BandLayer(
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
        BandLayer("piano", ("X-------x---x---", "X---x---x---x---"), low=55, size=3, pan=-0.3),
        BandLayer(
            "clean guitar",
            ("0.1.2.1.0.1.2.1.", "0.2.1.2.0.2.1.2."),
            low=60,
            size=3,
            pan=0.4,
            level=0.6,
            sections=("intro", "verse", "break"),
            arpeggio=True,
        ),
        BandLayer(
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
        BandLayer(
            "nylon guitar",
            ("X-....X-..X-....X-....X-....X-..", "X-..X-....X-..X-..X-..X-....X-.."),
            low=55,
            size=4,
            pan=-0.2,
        ),
        BandLayer(
            "vibraphone",
            ("0-------2---1---", "......2-----1---"),
            low=67,
            size=3,
            pan=0.45,
            level=0.5,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
        BandLayer("strings", ("X---------------",), low=59, size=3, level=0.4, sections=("chorus",)),
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
        BandLayer("skank guitar", ("....X.......X...", "....X.....x.X..."), low=60, size=3, pan=0.4, level=0.8),
        BandLayer(
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
