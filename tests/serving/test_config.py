from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import StemsError
from serving.config import ServeConfig, parse_config


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"model": "m", "prot": 8000}, "prot"),
        ({"model": "m", "port": 80000}, "port"),
        ({"model": "m", "replicas": 0}, "replicas"),
        ({"model": "m", "max_seconds": float("nan")}, "max_seconds"),
        ({"port": 8000}, "model"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, object], field: str) -> None:
    with pytest.raises(StemsError) as caught:
        parse_config(values)
    assert caught.value.field == field
    assert caught.value.hint


def test_a_cluster_refuses_an_unknown_setting() -> None:
    from serving.app import application

    with pytest.raises(StemsError) as caught:
        application({"model": "m", "prot": 8000})
    assert caught.value.field == "prot"


def test_a_directory_without_a_model_is_refused_before_ray_starts(tmp_path: Path) -> None:
    from serving.app import start

    with pytest.raises(StemsError, match=r"assembly\.json"):
        start(ServeConfig(model=str(tmp_path)))


def test_a_taken_port_is_refused_before_ray_starts(model_directory: Path) -> None:
    import socket

    from serving.app import start

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StemsError) as caught:
            start(ServeConfig(model=str(model_directory), port=taken.getsockname()[1]))
    assert caught.value.field == "port"
