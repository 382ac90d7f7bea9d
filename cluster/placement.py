"""Checks that nodes can hold the requested copies: each must fit on one node. Pure functions of the nodes' shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cluster.nodes import NodeShape, describe
from models.errors import StemsError

_GRAIN = 1e-4
"""Ray counts resources in ten-thousandths."""


def room(resources: Mapping[str, float], asked: Mapping[str, float]) -> float:
    """How many copies of what is asked for fit a node with these resources; ``inf`` where nothing is asked for.

    A node type that says nothing of its memory has enough of it.
    """
    copies = math.inf
    for name, amount in asked.items():
        if amount > 0 and not (name == "memory" and name not in resources):
            copies = min(copies, math.floor((resources.get(name, 0.0) + _GRAIN / 2) / amount))
    return copies


def places(shapes: Sequence[NodeShape], asked: Mapping[str, float], *, ever: bool = False) -> float:
    """How many copies fit all nodes together, each copy on one node.

    Args:
        shapes: of the nodes.
        asked: resources of one copy.
        ever: also count nodes that an autoscaler may still start.
    """
    found = ((shape.most if ever else shape.count, room(shape.resources, asked)) for shape in shapes)
    return sum(nodes * copies for nodes, copies in found if nodes and copies)


def check_fits(shapes: Sequence[NodeShape], asked: Mapping[str, float], what: str, field: str) -> None:
    """Refuse what fits no node that is there and no node that may come.

    Args:
        shapes: of the nodes.
        asked: resources of one copy.
        what: its name in the message, such as ``a replica``.
        field: the setting at fault.

    Raises:
        StemsError: ``unplaceable``, naming what was asked, what the largest node has, and the setting.
    """
    if places(shapes, asked, ever=True):
        return
    raise StemsError(
        f"{what[:1].upper()}{what[1:]} asks for {describe(asked)}, and no node has that: {_largest(shapes, asked)}.",
        f"Lower {field}, or set RAY_ADDRESS to a cluster whose nodes have it.",
        code="unplaceable",
        field=field,
    )


def check_all_fit(shapes: Sequence[NodeShape], asked: Mapping[str, float], count: int, what: str, field: str) -> None:
    """Refuse more copies than all nodes that there may ever be can hold.

    For clusters whose size is known: one of our own, or one whose autoscaler tells its limits.

    Raises:
        StemsError: as :func:`check_fits`, or where fewer than ``count`` copies fit.
    """
    check_fits(shapes, asked, what, field)
    most = places(shapes, asked, ever=True)
    if most < count:
        raise StemsError(
            f"There is room for {most:g} of {count} times {what} ({describe(asked)}) on the nodes: "
            f"{_largest(shapes, asked)}.",
            f"Lower {field}, or set RAY_ADDRESS to a larger cluster.",
            code="unplaceable",
            field=field,
        )


def _largest(shapes: Sequence[NodeShape], asked: Mapping[str, float]) -> str:
    """The node that comes closest, in words."""
    wanted = {name: amount for name, amount in asked.items() if amount > 0}

    def closeness(shape: NodeShape) -> tuple[int, float]:
        shares = [shape.resources.get(name, 0.0) / amount for name, amount in wanted.items()]
        return sum(share >= 1 for share in shares), sum(min(share, 1e6) for share in shares)

    if not shapes:
        return "there are no nodes"
    best = max(shapes, key=closeness)
    return f"the largest has {describe({name: best.resources.get(name, 0.0) for name in wanted})}"
