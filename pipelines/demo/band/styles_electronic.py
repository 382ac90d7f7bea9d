"""Styles of machines: house, synthwave, lo-fi hip hop."""

from __future__ import annotations

from pipelines.demo.band.style import GROOVE_FILLS, BandLayer, Style

_CLUB_FILLS = (
    {"kick": "X...X...X.......", "clap": "....X...x.x.xxxx", "hat": "x.x.x.x.x.x.xxxx"},
    {"kick": "X...X...........", "clap": "....X.......X...", "tom_high": "........x.xx.x.X"},
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
        BandLayer("house piano", ("X..x..x...x..x..", "x--x--x-..x--x--"), low=57, size=4, pan=-0.2),
        BandLayer("pad", ("X---------------",), low=52, size=4, level=0.55, sections=("intro", "chorus", "break")),
        BandLayer(
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
        BandLayer("saw pad", ("X---------------",), low=53, size=3),
        BandLayer(
            "arp synth",
            ("0121012101210121", "0.1.2.1.0.1.2.1.", "012.012.012.0121"),
            low=64,
            size=3,
            pan=0.3,
            level=0.7,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
        BandLayer(
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
    fills=GROOVE_FILLS,
    kit="dusty",
    bass=("R--...R-..5-....", "R---..3-R-..5-..", "R-..R-....R-5-7-"),
    bass_timbre="sub bass",
    layers=(
        BandLayer("electric piano", ("X-----x---------", "X--x------x-----"), low=55, size=4, pan=-0.15),
        BandLayer(
            "vibraphone",
            ("....2---1-------", "0---....2---....", "..1-..2-....0---"),
            low=67,
            size=3,
            pan=0.4,
            level=0.45,
            sections=("verse", "chorus"),
            arpeggio=True,
        ),
        BandLayer("pad", ("X---------------",), low=52, size=3, level=0.4, sections=("chorus", "break")),
    ),
    lead="flute",
    moods=("mellow", "hazy", "rainy-day", "sleepy"),
    bass_words=("a round sub bass", "a deep, soft bass"),
    drum_words=("dusty swung drums", "a lazy boom-bap beat"),
    noun="lo-fi hip hop beat",
    tags=("lo-fi", "hip hop", "chill"),
)
