"""The stem codec: waveform <-> codes at 50 frames a second.

``codec`` has :class:`StemCodec`; ``size`` the sizes; ``network`` makes the EnCodec network; ``quantizer`` trains
its codebooks; ``losses`` and ``metrics`` say what is wanted and how near it is; ``chunks`` cuts long songs.
"""

from models.codec.codec import StemCodec, build_codec
from models.codec.size import CodecSize

__all__ = ["CodecSize", "StemCodec", "build_codec"]
