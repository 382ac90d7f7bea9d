"""Source separation: Demucs, batched across songs, and its probe for vocals."""

from models.separation.directory import load_separator_directory, save_separator
from models.separation.network import SeparatorSize, build_htdemucs
from models.separation.probe import Probe
from models.separation.separator import Separator

__all__ = ["Probe", "Separator", "SeparatorSize", "build_htdemucs", "load_separator_directory", "save_separator"]
