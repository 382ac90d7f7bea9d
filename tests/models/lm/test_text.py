from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.errors import StemsError
from models.lm.text import ByteConditioner, TextConfig, build_conditioner, t5_config


@pytest.fixture(scope="module")
def encoder() -> ByteConditioner:
    torch.manual_seed(0)
    return ByteConditioner(TextConfig(kind="bytes", dim=16)).eval()


def test_a_prompt_has_a_state_for_every_four_bytes(encoder: ByteConditioner) -> None:
    condition = encoder.encode(["twelve bytes"])
    assert condition.states.shape == (1, 3, 16)
    assert condition.valid.all()


def test_a_prompt_does_not_depend_on_its_neighbours(encoder: ByteConditioner) -> None:
    with torch.no_grad():
        alone = encoder.encode(["slow funk"])
        beside = encoder.encode(["a much longer prompt about a bossa nova", "slow funk", ""])
    length = alone.states.shape[1]
    torch.testing.assert_close(beside.states[1, :length], alone.states[0])
    assert beside.valid[1].tolist() == [True] * length + [False] * (beside.valid.shape[1] - length)
    assert not beside.valid[2].any()
    assert beside.states.isfinite().all()


def test_different_prompts_differ(encoder: ByteConditioner) -> None:
    first, second = encoder.encode(["slow funk"]), encoder.encode(["fast funk"])
    assert not torch.allclose(first.states, second.states)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random T5 with a tokenizer of five words, saved as the hub's are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    directory = tmp_path_factory.mktemp("t5")
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "slow": 2, "fast": 3, "funk": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>").save_pretrained(directory)
    torch.manual_seed(0)
    T5EncoderModel(T5Config(d_model=24, d_ff=32, d_kv=8, num_layers=1, num_heads=2, vocab_size=5)).save_pretrained(
        directory
    )
    return directory


def test_a_t5_by_directory_encodes_prompts_and_is_not_trained(t5: Path) -> None:
    conditioner = build_conditioner(t5_config(str(t5)))
    condition = conditioner.encode(["slow funk", "funk", ""])
    assert condition.states.shape == (3, 2, 24)
    assert condition.valid.tolist() == [[True, True], [True, False], [False, False]]
    assert list(conditioner.parameters()) == []
    assert not condition.states.requires_grad


def test_a_t5_that_is_nowhere_is_named() -> None:
    with pytest.raises(StemsError, match="The T5 '/nowhere' cannot be read"):
        t5_config("/nowhere")


def test_a_t5_of_another_width_is_refused(t5: Path) -> None:
    with pytest.raises(StemsError, match="24 wide"):
        build_conditioner(TextConfig(kind="t5", name=str(t5), dim=768)).encode(["funk"])
