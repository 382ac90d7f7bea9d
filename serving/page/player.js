// Plays stems locked to the sample: one clock, one start time for all.

export class Player {
  /** `onChange` is called whenever playing starts or ends. */
  constructor(rate, onChange) {
    this.context = new AudioContext({ sampleRate: rate });
    this.onChange = onChange;
    this.tracks = new Map();
    this.playing = false;
    this.seconds = 0;
    this.offset = 0;
    this.startedAt = 0;
  }

  /** Take `{name: ArrayBuffer}` of encoded audio; answers `{name: Float32Array}`. */
  async load(files) {
    const decoded = await Promise.all(
      Object.entries(files).map(async ([name, bytes]) => [name, await this.context.decodeAudioData(bytes.slice(0))]),
    );
    this.stop();
    for (const track of this.tracks.values()) track.output.disconnect();
    this.tracks.clear();
    this.offset = 0;
    this.seconds = 0;
    for (const [name, buffer] of decoded) {
      const output = this.context.createGain();
      output.connect(this.context.destination);
      this.tracks.set(name, { buffer, output, source: null, gain: 1, muted: false, solo: false });
      this.seconds = Math.max(this.seconds, buffer.duration);
    }
    return Object.fromEntries(decoded.map(([name, buffer]) => [name, buffer.getChannelData(0)]));
  }

  async play() {
    if (this.playing || !this.tracks.size) return;
    await this.context.resume();
    if (this.offset >= this.seconds) this.offset = 0;
    // A moment ahead, so that every source is ready when the common start comes.
    this.startedAt = this.context.currentTime + 0.05;
    for (const track of this.tracks.values()) {
      track.source = this.context.createBufferSource();
      track.source.buffer = track.buffer;
      track.source.connect(track.output);
      track.source.start(this.startedAt, this.offset);
    }
    this.playing = true;
    this.onChange();
  }

  stop() {
    if (!this.playing) return;
    this.offset = this.position();
    for (const track of this.tracks.values()) {
      track.source.stop();
      track.source.disconnect();
    }
    this.playing = false;
    this.onChange();
  }

  seek(seconds) {
    const again = this.playing;
    this.stop();
    this.offset = Math.min(Math.max(0, seconds), this.seconds);
    if (again) this.play();
  }

  /** Where the song is now, in seconds; stops at its end. */
  position() {
    if (!this.playing) return this.offset;
    return Math.min(this.seconds, this.offset + Math.max(0, this.context.currentTime - this.startedAt));
  }

  /** Set `gain`, `muted` or `solo` of a stem. */
  set(name, change) {
    Object.assign(this.tracks.get(name), change);
    for (const [stem, track] of this.tracks) {
      const level = this.audible(stem) ? track.gain : 0;
      track.output.gain.setTargetAtTime(level, this.context.currentTime, 0.01);
    }
  }

  audible(name) {
    const anySolo = [...this.tracks.values()].some((track) => track.solo);
    const track = this.tracks.get(name);
    return anySolo ? track.solo : !track.muted;
  }
}
