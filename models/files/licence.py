"""The licence of third-party weights: a file beside them that is copied to derived models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FILE = "LICENCE.md"


def put_licence(directory: Path, text: str) -> None:
    """Write the licence of the weights into a model's directory and its README."""
    (directory / FILE).write_text(text.strip() + "\n", encoding="utf-8")
    with (directory / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"\n## Licence of the weights\n\n{text.strip()}\n")


def keep_licences(sources: Iterable[Path], target: Path) -> None:
    """Copy the licences of the models in ``sources``, where they have one, to the model derived from them."""
    files = [source / FILE for source in sources if (source / FILE).is_file()]
    texts = sorted({file.read_text(encoding="utf-8").strip() for file in files})
    if texts:
        put_licence(target, "\n\n".join(texts))
