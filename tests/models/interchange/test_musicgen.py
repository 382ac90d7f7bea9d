"""Our transformer in the MusicGen layout gives what transformers' MusicGen gives."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.engines import engine

from models.codec.codec import StemCodec
from models.errors import StemsError
from models.interchange.import_command import ImportConfig, import_model, wanted_files
from models.interchange.musicgen import load_musicgen, transformer_from_musicgen
from models.lm.delay import delay_codes
from models.lm.engine.request import Request
from models.lm.grid import Grid
from models.lm.sampling import Sampling
from models.lm.transformer import Condition
from models.song.assembly import Assembly
from models.stems import MUSICGEN

CODES = 32


@pytest.fixture(scope="module")
def musicgen() -> Any:
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    torch.manual_seed(0)
    decoder = MusicgenDecoderConfig(
        vocab_size=CODES,
        pad_token_id=CODES,
        decoder_start_token_id=CODES,
        bos_token_id=CODES,
        num_hidden_layers=3,
        hidden_size=32,
        ffn_dim=128,
        num_attention_heads=4,
        dropout=0.0,
        # Its default spread makes random logits nearly equal, and arg-max a coin toss.
        initializer_factor=0.3,
    )
    text = T5Config(d_model=24, d_ff=32, d_kv=8, num_layers=1, num_heads=2, vocab_size=50)
    codec = EncodecConfig(
        sampling_rate=32_000,
        target_bandwidths=[1.0],
        num_filters=2,
        hidden_size=8,
        codebook_size=CODES,
        upsampling_ratios=[8, 5, 4, 4],
        use_causal_conv=False,
        num_lstm_layers=1,
    )
    config = MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder)
    return MusicgenForConditionalGeneration(config).eval()


def condition(states: torch.Tensor) -> Condition:
    return Condition.of(states, torch.ones(states.shape[:2], dtype=torch.bool))


def test_logits_agree(musicgen: Any) -> None:
    ours = transformer_from_musicgen(musicgen.decoder, musicgen.enc_to_dec_proj)
    codes = delay_codes(torch.randint(CODES, (2, 4, 20)), MUSICGEN.delays, CODES)
    states = torch.randn(2, 6, 24)
    with torch.no_grad():
        theirs = musicgen.decoder(
            input_ids=codes.flatten(0, 1), encoder_hidden_states=musicgen.enc_to_dec_proj(states)
        ).logits
        mine = ours(codes, condition(states))
    torch.testing.assert_close(mine.flatten(0, 1), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("static", [False, True])
def test_greedy_generation_agrees(
    musicgen: Any, guidance: float, static: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, tokens = 24, torch.randint(2, 50, (1, 7))
    with torch.no_grad():
        states = musicgen.text_encoder(tokens).last_hidden_state
    ours = transformer_from_musicgen(musicgen.decoder, musicgen.enc_to_dec_proj)
    sampling = Sampling(temperature=0, guidance=guidance)
    request = Request(Grid.blank(4, frames), condition(states), sampling)
    [mine] = engine(ours, MUSICGEN.delays, static=static).run([request])

    # transformers returns audio; its codes are what it hands to the codec.
    handed: list[torch.Tensor] = []
    decode = musicgen.audio_encoder.decode

    def remember(audio_codes: torch.Tensor, **kwargs: Any) -> Any:
        handed.append(audio_codes)
        return decode(audio_codes, **kwargs)

    monkeypatch.setattr(musicgen.audio_encoder, "decode", remember)
    musicgen.generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        guidance_scale=guidance,
        do_sample=False,
        max_new_tokens=frames + 3,
        decoder_start_token_id=CODES,
        pad_token_id=CODES,
    )
    theirs = handed[0].view(4, -1)
    assert len(mine.unique()) > 5
    assert theirs.shape[1] >= frames - 1
    assert torch.equal(mine[:, : theirs.shape[1]], theirs[:, :frames])


def test_a_saved_musicgen_becomes_a_model_of_one_stem(musicgen: Any, tmp_path: Path) -> None:
    musicgen.save_pretrained(tmp_path)
    assembly = load_musicgen(tmp_path)
    assert assembly.layout.names == ("mix",)
    song = assembly.generate("", 0.2, Sampling(seed=1))
    assert song.codes.shape == (4, 10)


def test_a_musicgen_of_the_hub_is_imported_from_among_the_authors_files(musicgen: Any, tmp_path: Path) -> None:
    hub = tmp_path / "musicgen-small"
    musicgen.save_pretrained(hub)
    for name in ("state_dict.bin", "compression_state_dict.bin"):
        (hub / name).write_bytes(b"the same weights in another form")
    import_model(ImportConfig(source=str(hub), output=str(tmp_path / "model")))
    assert Assembly.load(tmp_path / "model").layout == MUSICGEN


def test_an_encodec_of_the_hub_becomes_a_codec(musicgen: Any, tmp_path: Path) -> None:
    musicgen.audio_encoder.save_pretrained(tmp_path / "encodec_32khz")
    import_model(ImportConfig(source=str(tmp_path / "encodec_32khz"), output=str(tmp_path / "codec")))
    codec = StemCodec.load(tmp_path / "codec")
    assert codec.codebooks == 4
    assert "CC-BY-NC" in (tmp_path / "codec" / "README.md").read_text()


def test_a_stereo_musicgen_is_refused(musicgen: Any, tmp_path: Path) -> None:
    musicgen.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    said["decoder"]["audio_channels"] = 2
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(StemsError, match="stereo"):
        load_musicgen(tmp_path)


def test_a_hostile_musicgen_is_refused(musicgen: Any, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, ("raise SystemExit('a pickle ran code')",)

    musicgen.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"weights": Hostile()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(StemsError) as caught:
        load_musicgen(tmp_path)
    assert isinstance(caught.value.__cause__, pickle.UnpicklingError)


def test_of_a_hub_only_one_form_of_the_weights_is_fetched() -> None:
    musicgen = [
        "config.json",
        "model.safetensors",
        "pytorch_model.bin",
        "state_dict.bin",
        "compression_state_dict.bin",
    ]
    assert wanted_files(musicgen) == ["config.json", "model.safetensors"]
    assert wanted_files(["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]
    release = ["README.md", "state_dict.bin", "compression_state_dict_bass.bin", "compression_state_dict_drums.bin"]
    assert wanted_files(release) == release[1:]


def test_a_name_that_is_nowhere_says_so(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match=r"The MusicGen .* cannot be read"):
        load_musicgen(tmp_path / "nothing")
