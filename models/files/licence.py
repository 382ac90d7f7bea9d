"""The licence of weights that came from elsewhere: a file beside them, which goes along with what is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FILE = "LICENCE.md"


def put_licence(directory: Path, text: str) -> None:
    """Say in a model's directory, and in its README, under which licence its weights are."""
    (directory / FILE).write_text(text.strip() + "\n", encoding="utf-8")
    with (directory / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"\n## Licence of the weights\n\n{text.strip()}\n")


def keep_licences(sources: Iterable[Path], target: Path) -> None:
    """Put the licences of the models in ``sources``, where they have one, on the model that was made of them."""
    files = [source / FILE for source in sources if (source / FILE).is_file()]
    texts = sorted({file.read_text(encoding="utf-8").strip() for file in files})
    if texts:
        put_licence(target, "\n\n".join(texts))
