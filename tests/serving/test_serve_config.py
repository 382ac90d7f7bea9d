from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from models.errors import StemsError
from serving.config import ServeConfig, load_config

INFRA = Path(__file__).parents[2] / "infra"


def write(folder: Path, text: str) -> Path:
    path = folder / "serve.yaml"
    path.write_text(text)
    return path


def test_the_settings_in_infra_are_taken() -> None:
    assert load_config(INFRA / "serve.yaml").model == "runs/demo/model"


def test_the_ray_serve_application_in_infra_is_one_of_ours() -> None:
    from ray.serve.schema import ServeDeploySchema

    values = yaml.safe_load((INFRA / "serve_application.yaml").read_text())
    [application] = ServeDeploySchema.model_validate(values).applications
    module, _, name = application.import_path.partition(":")
    assert (module, name) == ("serving.app", "application")
    assert ServeConfig.model_validate(application.args).replicas == 1


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("model: m\nprot: 8000\n", "prot"),
        ("model: m\nport: 80000\n", "port"),
        ("model: m\nreplicas: 0\n", "replicas"),
        ("model: m\nmax_seconds: .nan\n", "max_seconds"),
        ("port: 8000\n", "model"),
        ("just words", "config"),
        ("model: [", "config"),
        ("", "config"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(StemsError) as caught:
        load_config(write(tmp_path, text))
    assert caught.value.field == field
    assert caught.value.mend


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")


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
