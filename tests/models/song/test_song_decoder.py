from __future__ import annotations

import numpy as np
import torch
from helpers.tiny import LAYOUT, tiny_codec

from models.lm.engine.request import Request
from models.lm.grid import Grid
from models.song.draft import Draft
from models.song.song_decoder import FRAMES, SongDecoder


def test_sound_comes_after_a_second_of_frames_and_is_that_of_the_whole_song() -> None:
    codecs = {stem.name: tiny_codec(stem.codebooks) for stem in LAYOUT.stems}
    codes = torch.randint(16, (LAYOUT.streams, 155))
    draft = Draft(Request(Grid.blank(LAYOUT.streams, 155)), 155 * codecs["bass"].hop)
    decoder, pieces, first = SongDecoder(codecs, LAYOUT, draft), [], 0
    for start in range(0, 155, 10):
        piece = decoder.push(codes[:, start : start + 10], last=start == 150)
        if piece and not first:
            first = start + 10
        pieces.append(piece)
    assert first == FRAMES
    for name in LAYOUT.names:
        streamed = np.concatenate([piece[name] for piece in pieces if piece])
        whole = codecs[name].decode_song(codes[LAYOUT.slice(name)]).numpy()
        assert streamed.shape == whole.shape
        assert 10 * np.log10(np.mean(whole**2) / max(np.mean((streamed - whole) ** 2), 1e-20)) > 90
