"""Songs longer than the model's window: the start of each window, and its known frames."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Frames ``start … end`` of a song; the previous window wrote those before ``known_until``."""

    start: int
    known_until: int
    end: int


def slide(frames: int, longest: int) -> list[Window]:
    """Cover a song with windows of at most ``longest`` frames; each begins with a third of the previous one."""
    if frames <= longest:
        return [Window(0, 0, frames)]
    hop = max(1, longest - longest // 3)
    windows: list[Window] = []
    done = 0
    while done < frames:
        end = min(frames, (windows[-1].start + hop + longest) if windows else longest)
        windows.append(Window(max(0, end - longest), done, end))
        done = end
    return windows
