// What is heard of a take, as audio nodes. Live playing and offline rendering are both made of this.

/** Nodes for a deck: each stem through its level, all of them through the deck's. `levels` is {name: factor}. */
export function build(context, deck, levels, level) {
  const output = new GainNode(context, { gain: level });
  output.connect(context.destination);
  const stems = new Map();
  for (const name of deck.stems.keys()) {
    const node = new GainNode(context, { gain: levels[name] });
    node.connect(output);
    stems.set(name, node);
  }
  return { deck, output, stems, sources: [] };
}

/** Let all that has come of a deck sound, so that its sample `from` is heard at `when`. */
export function schedule(graph, when, from) {
  for (const [name, stem] of graph.deck.stems) {
    for (const piece of stem.pieces) schedulePiece(graph, name, piece, when, from);
  }
}

/** The same for one piece of a stem. */
export function schedulePiece(graph, name, { first, buffer }, when, from) {
  const late = from - first;
  if (late >= buffer.length) return;
  const output = graph.stems.get(name);
  const source = new AudioBufferSourceNode(output.context, { buffer });
  source.connect(output);
  const rate = buffer.sampleRate;
  // Whole samples only: pieces then join without a seam.
  source.start((Math.round(when * rate) + Math.max(0, -late)) / rate, Math.max(0, late) / rate);
  graph.sources.push(source);
}

/** End what sounds at `when`. */
export function silence(graph, when) {
  for (const source of graph.sources) source.stop(when);
  graph.sources = [];
}
