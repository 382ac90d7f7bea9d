"""All the styles that the band knows, by name."""

from __future__ import annotations

from pipelines.demo.band.style import Style
from pipelines.demo.band.styles_acoustic import BOSSA_NOVA, FUNK, REGGAE, ROCK_BALLAD
from pipelines.demo.band.styles_electronic import HIP_HOP, HOUSE, SYNTHWAVE

STYLES: dict[str, Style] = {
    style.name: style for style in (FUNK, HOUSE, ROCK_BALLAD, BOSSA_NOVA, REGGAE, SYNTHWAVE, HIP_HOP)
}
