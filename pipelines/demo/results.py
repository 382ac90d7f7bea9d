"""What the demo measured: the input of its report, every number beside what it must be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MEL_GOAL = 0.5  # a trained codec's mel distance, as a share of the untrained codec's
VOCAL_GOAL = 0.9  # share of sung songs dropped, and of instrumental songs kept


def number(value: float, digits: int = 1) -> str:
    """A number for reading, with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


@dataclass(frozen=True)
class Counts:
    """Files in the catalog, and what became of them."""

    songs: int
    vocals: int
    quarantined: int
    tokenized: int


@dataclass(frozen=True)
class Quarantined:
    """A file that was set aside, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class SeparationRow:
    """SDR of a separated stem, and of the mixture taken as the estimate, in dB, on held-out songs."""

    stem: str
    sdr: float
    mixture_sdr: float

    @property
    def passed(self) -> bool:
        """Whether separating beats doing nothing."""
        return self.sdr > self.mixture_sdr


@dataclass(frozen=True)
class CodecRow:
    """A stem codec on held-out stems.

    Attributes:
        stem: its name.
        si_sdr: dB.
        mel_trained, mel_untrained: multi-scale mel distance of the codec, and of one with random weights.
        perplexity: codes in effective use, for each codebook.
        cardinality: codes that there are in a codebook.
        mel_silence: mel distance of silence as the estimate, which beats an untrained codec.
    """

    stem: str
    si_sdr: float
    mel_trained: float
    mel_untrained: float
    perplexity: tuple[float, ...]
    cardinality: int
    mel_silence: float

    @property
    def ratio(self) -> float:
        """Trained over untrained mel distance."""
        return self.mel_trained / self.mel_untrained

    @property
    def passed(self) -> bool:
        """Whether the distance is at most ``MEL_GOAL`` of the untrained one, and below that of silence."""
        return self.ratio <= MEL_GOAL and self.mel_trained < self.mel_silence


@dataclass(frozen=True)
class VocalFilter:
    """Songs that truly are sung and how many were dropped; instrumental ones and how many were kept."""

    sung: int
    dropped: int
    instrumental: int
    kept: int

    @property
    def passed(self) -> bool:
        """Whether both shares reach ``VOCAL_GOAL``."""
        return self.dropped >= VOCAL_GOAL * self.sung and self.kept >= VOCAL_GOAL * self.instrumental


@dataclass(frozen=True)
class LossCurve:
    """The language model's losses, in nats a code.

    Attributes:
        training: (step, loss) pairs.
        validation: (step, loss by stream) pairs.
        entropy: by stream, what a model scores that only knows how often each code occurs.
    """

    training: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, Mapping[str, float]], ...]
    entropy: Mapping[str, float]

    @property
    def final(self) -> Mapping[str, float]:
        """Validation loss by stream at the last step."""
        return self.validation[-1][1]

    def passed(self, stream: str) -> bool:
        """Whether a stream's last validation loss lies below its entropy."""
        return self.final[stream] < self.entropy[stream]


@dataclass(frozen=True)
class ContextRow:
    """Loss of a hidden stem, in nats a code, given its own song's other stems and given another song's.

    ``share`` is that of the examples in which its own song's tell more.
    """

    stem: str
    right: float
    wrong: float
    share: float

    @property
    def passed(self) -> bool:
        """Whether the right stems help, on the whole and mostly."""
        return self.right < self.wrong and self.share > 0.5


@dataclass(frozen=True)
class StepTime:
    """Wall-clock seconds of one step of the demo."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Clip:
    """Something to play: its label, its audio file, and the picture of its spectrogram."""

    label: str
    audio: Path
    spectrogram: Path | None = None


@dataclass(frozen=True)
class GeneratedSong:
    """A song made from text."""

    prompt: str
    mix: Clip
    stems: tuple[Clip, ...]


@dataclass(frozen=True)
class EditedStem:
    """One stem before and after an edit.

    Attributes:
        name: of the stem.
        source, edited: how it was and how it is.
        regenerated: whether it was regenerated.
        identical: whether its tokens are the source's, bit for bit.
    """

    name: str
    source: Clip
    edited: Clip
    regenerated: bool
    identical: bool

    @property
    def passed(self) -> bool:
        """Whether a kept stem is identical, and a regenerated one is not."""
        return self.identical != self.regenerated


@dataclass(frozen=True)
class EditedSong:
    """A held-out song with some stems regenerated."""

    title: str
    prompt: str
    source_mix: Clip
    edited_mix: Clip
    stems: tuple[EditedStem, ...]


@dataclass(frozen=True)
class ExtendedStem:
    """One stem of a song that went on.

    Attributes:
        name: of the stem.
        clip: all of it.
        kept: whether the part before the seam is as it was, bit for bit.
        seam: the largest step from sample to sample where the new part begins.
        around: the largest step in half a second on each side of that.
    """

    name: str
    clip: Clip
    kept: bool
    seam: float
    around: float

    @property
    def passed(self) -> bool:
        """Whether the old part is identical, and the seam is not heard as a click."""
        return self.kept and self.seam <= self.around


@dataclass(frozen=True)
class ExtendedSong:
    """The generated song with a new part: lengths in seconds before and after, and what to play."""

    before: float
    after: float
    mix: Clip
    stems: tuple[ExtendedStem, ...]


@dataclass(frozen=True)
class DemoResults:
    """One run of the demo.

    Attributes:
        counts, quarantine: what became of the catalog's files.
        separation, codecs, vocal_filter, loss, context: how well each part does.
        steps: how long each step took, in order.
        generated, edited, extended: what came out.
        machine: what it ran on, in words.
        notes: more lines to tell the reader.
    """

    counts: Counts
    quarantine: tuple[Quarantined, ...]
    separation: tuple[SeparationRow, ...]
    codecs: tuple[CodecRow, ...]
    vocal_filter: VocalFilter
    loss: LossCurve
    context: tuple[ContextRow, ...]
    steps: tuple[StepTime, ...]
    generated: GeneratedSong
    edited: EditedSong
    extended: ExtendedSong
    machine: str
    notes: tuple[str, ...] = field(default=())

    def shortfalls(self) -> list[str]:
        """Every comparison that did not come out as hoped, in plain words."""
        words = [
            f"separated {row.stem}: SDR {number(row.sdr)} dB, the mixture as estimate {number(row.mixture_sdr)} dB"
            for row in self.separation
            if not row.passed
        ]
        words += [
            f"{row.stem} codec: mel distance is {row.ratio:.2f} of the untrained codec's ({MEL_GOAL} is the goal) "
            f"and {row.mel_trained / row.mel_silence:.2f} of silence's"
            for row in self.codecs
            if not row.passed
        ]
        if not self.vocal_filter.passed:
            found = self.vocal_filter
            words.append(
                f"vocal filter: {found.dropped} of {found.sung} sung songs dropped, "
                f"{found.kept} of {found.instrumental} instrumental songs kept; 9 in 10 is the goal"
            )
        words += [
            f"{stream}: validation loss {loss:.2f} nats, unigram entropy {self.loss.entropy[stream]:.2f}"
            for stream, loss in self.loss.final.items()
            if not self.loss.passed(stream)
        ]
        words += [
            f"hidden {row.stem}: its own song's other stems tell no more ({row.right:.2f} nats) than another song's "
            f"({row.wrong:.2f})"
            for row in self.context
            if not row.passed
        ]
        words += [
            f"edited {stem.name}: {'nothing changed' if stem.regenerated else 'tokens differ from the source'}"
            for stem in self.edited.stems
            if not stem.passed
        ]
        for part in self.extended.stems:
            clicks = f"a step of {part.seam:.3f} at the seam, {part.around:.3f} around"
            if not part.passed:
                words.append(f"extended {part.name}: {clicks if part.kept else 'its old part changed'}")
        return words
