// The sound of one take, as it arrives: pieces of each stem, one after the other.

const BLOCK = 128; // samples a peak

export class Deck {
  constructor(names, rate) {
    this.rate = rate;
    this.complete = false;
    this.length = 0; // samples, once it is known
    this.stems = new Map(names.map((name) => [name, { pieces: [], end: 0, peaks: [] }]));
  }

  get seconds() {
    return this.length / this.rate;
  }

  /** Samples that every stem has. */
  get ready() {
    return Math.min(...[...this.stems.values()].map((stem) => stem.end));
  }

  /** Tell how many samples there will be. */
  expect(length) {
    if (!this.complete) this.length = Math.max(this.length, Math.round(length));
  }

  /** Samples of a stem from `first` on. Answers the piece that they add; null where they add nothing. */
  append(name, first, samples) {
    const stem = this.stems.get(name);
    // What comes twice is dropped; what comes after a gap, too: the files have it all.
    if (!stem || this.complete || first > stem.end) return null;
    const fresh = samples.subarray(stem.end - first);
    return fresh.length ? this.#add(stem, fresh) : null;
  }

  /** Take the whole of all stems, {name: Float32Array}, in place of what came so far. */
  finish(whole) {
    this.length = Math.max(...Object.values(whole).map((samples) => samples.length));
    for (const [name, stem] of this.stems) {
      Object.assign(stem, { pieces: [], end: 0, peaks: [] });
      if (whole[name]?.length) this.#add(stem, whole[name]);
      stem.end = this.length;
    }
    this.complete = true;
  }

  #add(stem, samples) {
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: this.rate });
    buffer.copyToChannel(samples, 0);
    const piece = { first: stem.end, buffer };
    addPeaks(stem.peaks, stem.end, samples);
    stem.pieces.push(piece);
    stem.end += samples.length;
    this.length = Math.max(this.length, stem.end);
    return piece;
  }

  /** The loudest sample of a stem in each of `count` equal parts of the take; NaN where nothing has come yet. */
  outline(name, count) {
    const { peaks, end } = this.stems.get(name);
    const share = this.length / BLOCK / count;
    return Float32Array.from({ length: count }, (_, index) => {
      if (!(index * share * BLOCK < end)) return NaN;
      const from = Math.floor(index * share);
      return peaks.slice(from, Math.max(from + 1, Math.ceil((index + 1) * share))).reduce((a, b) => Math.max(a, b), 0);
    });
  }
}

function addPeaks(peaks, first, samples) {
  for (let i = 0; i < samples.length; i++) {
    const block = Math.floor((first + i) / BLOCK);
    peaks[block] = Math.max(peaks[block] ?? 0, Math.abs(samples[i]));
  }
}

/** Decode audio files, {name: Blob}, at `rate`. Answers {name: Float32Array}. */
export async function decode(files, rate) {
  const decoder = new OfflineAudioContext(1, 1, rate);
  const decoded = Object.entries(files).map(async ([name, file]) => {
    const buffer = await decoder.decodeAudioData(await file.arrayBuffer());
    return [name, buffer.getChannelData(0)];
  });
  return Object.fromEntries(await Promise.all(decoded));
}
