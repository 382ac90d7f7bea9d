"""The stem codec: waveform <-> codes at 50 frames per second.

``codec`` has :class:`StemCodec`; ``size`` the sizes; ``network`` builds the EnCodec network; ``quantizer`` trains
its codebooks; ``losses`` holds the training losses; ``codebook_use`` measures how codes are used; ``whole_song``
runs long songs in chunks.
"""

from models.codec.codec import StemCodec, build_codec
from models.codec.size import CodecSize

__all__ = ["CodecSize", "StemCodec", "build_codec"]
