"""Tags around audio: ID3v2 and APEv2 before it, ID3v1, APEv2 and Lyrics3 after it."""

from __future__ import annotations

from models.audio.containers.view import View

_ID3_HEADER, _ID3_FOOTER_FLAG = 10, 0x10
_APE_HEADER, _APE_HAS_HEADER = 32, 0x8000_0000
_ID3V1 = 128
_MOST_TAGS = 1000
_LYRICS_END = 9


def after_leading_tags(data: View, at: int = 0) -> int:
    """The end of the tags that begin at ``at``; ``at`` itself if there are none."""
    for _ in range(_MOST_TAGS):
        size = tag_size(data, at)
        if not size or at + size > len(data):
            break
        at += size
    return at


def tag_size(data: View, at: int) -> int:
    """Bytes of the tag that begins here; 0 if none does."""
    head = data[at : at + _APE_HEADER]
    if head[:3] == b"ID3" and len(head) >= _ID3_HEADER and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]  # seven bits per byte
        return size + _ID3_HEADER * (2 if head[5] & _ID3_FOOTER_FLAG else 1)
    if head[:8] == b"APETAGEX" and len(head) == _APE_HEADER:
        return _APE_HEADER + int.from_bytes(head[12:16], "little")
    return 0


def before_trailing_tags(data: View, start: int = 0) -> int:
    """The end of the audio that begins at ``start`` and precedes trailing tags."""
    end = len(data)
    for _ in range(_MOST_TAGS):
        size = _trailing_size(data, end)
        if not size or end - size < start:
            break
        end -= size
    return end


def _trailing_size(data: View, end: int) -> int:
    """Bytes of the tag that ends here; 0 if none does."""
    if data[max(0, end - _ID3V1) : end][:3] == b"TAG" and end >= _ID3V1:
        return _ID3V1
    foot = data[max(0, end - _APE_HEADER) : end]
    if foot[:8] == b"APETAGEX" and len(foot) == _APE_HEADER:
        has_header = int.from_bytes(foot[20:24], "little") & _APE_HAS_HEADER
        return int.from_bytes(foot[12:16], "little") + (_APE_HEADER if has_header else 0)
    if foot[-_LYRICS_END:] == b"LYRICS200" and foot[-15:-9].isdigit():
        return int(foot[-15:-9]) + 15
    return 0
