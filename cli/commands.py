"""The table of commands. To add one, add a line to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Path = tuple[str, ...]
"""The words that name a command, such as ``("train", "lm")``."""


@dataclass(frozen=True)
class Command:
    """A command: where its settings and its function live (imported only when it is called).

    Args:
        group: heading under which `stems --help` lists it, one of ``GROUPS``.
        help: one line for that list.
        settings: ``module:class`` of a pydantic model.
        function: ``module:name`` of a function of it.
        positional: settings given without ``--``, in order; the last may be a list, which takes one or more.
    """

    group: str
    help: str
    settings: str
    function: str
    positional: tuple[str, ...] = ()

    def load_settings(self) -> type[BaseModel]:
        """Import the class of its settings."""
        model: type[BaseModel] = _load(self.settings)
        return model

    def load_function(self) -> Callable[[BaseModel], Any]:
        """Import the function that does the work."""
        function: Callable[[BaseModel], Any] = _load(self.function)
        return function


def below(path: Path) -> dict[Path, Command]:
    """The command of this path and those whose path goes on from it."""
    return {name: command for name, command in COMMANDS.items() if name[: len(path)] == path}


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


_DEMO, _MUSIC, _DATA = "Try everything", "Make music", "Prepare data"
_TABLE, _MODELS, _SERVICE = "Maintain a token table", "Train and publish models", "Serve"
GROUPS = (_DEMO, _MUSIC, _DATA, _TABLE, _MODELS, _SERVICE)
"""Headings of `stems --help`, in their order."""


def _upkeep(about: str, settings: str, function: str, *positional: str) -> Command:
    return Command(_TABLE, about, f"pipelines.upkeep.config:{settings}", f"pipelines.upkeep.{function}", positional)


def _request(about: str, settings: str, function: str) -> Command:
    return Command(_SERVICE, about, f"serving.client.command:{settings}", f"serving.client.command:{function}")


def _keys(about: str, settings: str, function: str, *positional: str) -> Command:
    return Command(_SERVICE, about, f"serving.config:{settings}", f"serving.http.api_keys:{function}", positional)


COMMANDS: dict[Path, Command] = {
    ("demo",): Command(
        _DEMO,
        "render a catalog, train small models on it, generate and edit a song, write a report",
        "pipelines.demo.config:DemoConfig",
        "pipelines.demo.pipeline:run_demo",
    ),
    ("generate",): Command(
        _MUSIC,
        "generate a song from text",
        "pipelines.composing.config:GenerateConfig",
        "pipelines.composing.jobs:generate",
    ),
    ("edit",): Command(
        _MUSIC,
        "regenerate some stems of a song",
        "pipelines.composing.config:EditConfig",
        "pipelines.composing.jobs:edit",
    ),
    ("extend",): Command(
        _MUSIC,
        "let a song go on",
        "pipelines.composing.config:ExtendConfig",
        "pipelines.composing.jobs:extend",
    ),
    ("catalog",): Command(
        _DATA,
        "list the songs of a source in one catalog, or report its problems (--dry-run)",
        "pipelines.catalog.config:CatalogConfig",
        "pipelines.catalog.command:write_catalog",
    ),
    ("prepare",): Command(
        _DATA,
        "turn a catalog into a token table",
        "pipelines.tokens.config:PrepareConfig",
        "pipelines.tokens.prepare:prepare",
    ),
    ("prepare", "plan"): Command(
        _DATA,
        "show what prepare would do, and estimate what it would cost",
        "pipelines.tokens.config:PlanConfig",
        "pipelines.tokens.estimate:estimate",
    ),
    ("prepare", "retry-quarantined"): Command(
        _DATA,
        "try the files in a table's quarantine again",
        "pipelines.tokens.config:RetryConfig",
        "pipelines.tokens.prepare:retry_quarantined",
    ),
    ("retokenize",): Command(
        _DATA,
        "encode kept stems again, with other codecs",
        "pipelines.tokens.config:RetokenizeConfig",
        "pipelines.tokens.retokenize:retokenize",
    ),
    ("table", "info"): _upkeep("show what a token table holds", "InfoConfig", "info:info", "table"),
    ("table", "verify"): _upkeep("check a token table's contract", "VerifyConfig", "verify:verify", "table"),
    ("table", "diff"): _upkeep("compare two token tables, song by song", "DiffConfig", "diff:diff", "a", "b"),
    ("table", "compact"): _upkeep("join a table's small files", "CompactConfig", "compact:compact", "table"),
    ("table", "vacuum"): _upkeep("delete files that no version needs", "VacuumConfig", "compact:vacuum", "table"),
    ("table", "remove"): _upkeep("remove songs for good", "RemoveConfig", "remove:remove", "table", "songs"),
    ("table", "export", "webdataset"): _upkeep(
        "write a token table as tar files", "ExportConfig", "export:export_webdataset", "table"
    ),
    ("train", "codec"): Command(
        _MODELS,
        "train the codec of one stem",
        "pipelines.training.codec.config:CodecTraining",
        "pipelines.training.codec.train_codec:train_codec",
    ),
    ("train", "lm"): Command(
        _MODELS,
        "train the language model on a token table",
        "pipelines.training.lm.config:LMTraining",
        "pipelines.training.lm.train_lm:train_lm",
    ),
    ("train", "separator"): Command(
        _MODELS,
        "train a Demucs on songs with known stems",
        "pipelines.training.separator.config:SeparatorTraining",
        "pipelines.training.separator.train_separator:train_separator",
    ),
    ("import",): Command(
        _MODELS,
        "import a released model",
        "models.interchange.import_command:ImportConfig",
        "models.interchange.import_command:import_model",
    ),
    ("assemble",): Command(
        _MODELS,
        "put trained parts into one model directory",
        "pipelines.composing.config:AssembleConfig",
        "pipelines.composing.assemble:assemble_model",
    ),
    ("publish",): Command(
        _MODELS,
        "register a model in MLflow, under an alias that serve takes",
        "pipelines.training.tracking.publish_config:PublishConfig",
        "pipelines.training.tracking.publish:publish",
    ),
    ("engine", "plan"): Command(
        _SERVICE,
        "show a decoding engine's memory, and how fast it can be",
        "pipelines.composing.config:EnginePlanConfig",
        "pipelines.composing.engine_plan:plan",
    ),
    ("serve",): Command(_SERVICE, "serve a model over HTTP", "serving.config:ServeConfig", "serving.app:run"),
    ("request", "song"): _request("request a song from a running service", "RequestSongConfig", "song"),
    ("request", "edit"): _request("request an edit from a running service", "RequestEditConfig", "edit"),
    ("request", "variation"): _request(
        "request another texture of a stem from a running service", "RequestVariationConfig", "variation"
    ),
    ("request", "continuation"): _request(
        "request more of a song from a running service", "RequestContinuationConfig", "continuation"
    ),
    ("keys", "add"): _keys("make an API key", "KeyConfig", "add_key", "name"),
    ("keys", "remove"): _keys("revoke an API key", "KeyConfig", "remove_key", "name"),
    ("keys", "list"): Command(
        _SERVICE, "list API keys", "serving.config:StateConfig", "serving.http.api_keys:list_keys"
    ),
}
"""Every command by the words that name it, in the order in which help lists them."""
