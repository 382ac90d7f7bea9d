"""Parse multipart bodies: text fields, and audio files in encoded and decoded form."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from models.audio.files import Audio, audio_info, read_audio
from models.audio.stem_files import likely_stem, stem_of
from models.errors import StemsError
from serving.kinds.source import SONG, SourceKind, SourceRequest
from serving.workers.protocol import ModelInfo

# Far beyond any request that makes sense; they bound the work of parsing one that does not.
_MAX_FIELDS = 64
_MAX_FIELD_BYTES = 64 * 1024
_MAX_CHANNELS = 8
_MAX_RATE = 192_000

Fields = TypeVar("Fields", bound=SourceRequest)


@dataclass(frozen=True)
class Upload:
    """An audio file, encoded and decoded."""

    data: bytes
    audio: Audio


async def read_form(
    request: Request, kind: SourceKind[Fields], info: ModelInfo, max_seconds: float
) -> tuple[Fields, dict[str, Upload]]:
    """Parse a multipart body.

    Returns:
        The fields, and the audio by field name: ``song`` alone, or stems by name, or none where there is ``of``.

    Raises:
        StemsError: names the field that is unknown, missing, doubled, of a wrong type, or not audio.
        pydantic.ValidationError: for a field of a wrong value.
    """
    form = request.form(max_files=len(info.layout.names) + 1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES)
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(form)
        fields = kind.request.model_validate(_fields(parts, kind.request))
        uploads = {}
        for name, file in _files(parts, fields, info).items():
            data = await file.read()
            shown = (file.filename or name)[:80]
            uploads[name] = Upload(data, await asyncio.to_thread(decode, data, name, shown, max_seconds))
    return fields, uploads


def _fields(form: FormData, request: type[SourceRequest]) -> dict[str, object]:
    """Text fields as plain values; lists where they may be repeated."""
    fields, lists = dict[str, object](), request.lists()
    for name in form:
        values = [value for value in form.getlist(name) if not isinstance(value, UploadFile)]
        if not values:
            continue
        if name in request.model_fields and name not in lists and len(values) > 1:
            raise StemsError(f"The field '{name}' is given {len(values)} times.", "Give it once.", field=name)
        fields[name] = values if name in lists else values[0]
    # A form sends an empty string for a box left empty.
    return {name: value for name, value in fields.items() if value != "" or name == "prompt"}


def _files(form: FormData, fields: SourceRequest, info: ModelInfo) -> dict[str, UploadFile]:
    names = info.layout.names
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            continue
        if name in type(fields).model_fields:
            raise StemsError(f"The field '{name}' is text, not a file.", "Send it as text.", field=name)
        stem = stem_of(name, (SONG, *names))
        if stem is None:
            likely = likely_stem(name, names)
            raise StemsError(
                f"'{name}' is not a stem of this model.",
                f"Send it as '{likely}'."
                if likely
                else f"Send a whole song as '{SONG}', or stems named {', '.join(names)}.",
                field=name,
            )
        if stem in files:
            raise StemsError(f"The file '{stem}' is sent twice.", "Send it once.", field=name)
        files[stem] = value
    _check_choice(files.keys(), fields, info)
    return files


def _check_choice(files: Collection[str], fields: SourceRequest, info: ModelInfo) -> None:
    names = ", ".join(info.layout.names)
    if not files and fields.of is None:
        raise StemsError(
            "There is no audio to change.",
            f"Send a whole song as '{SONG}', or one file per stem, named {names}, or an earlier job as 'of'.",
            field=SONG,
        )
    if files and fields.of is not None:
        raise StemsError("Both audio and an earlier job are given.", "Give one or the other.", field="of")
    if SONG in files and len(files) > 1:
        raise StemsError(f"Both '{SONG}' and single stems are sent.", "Send one or the other.", field=SONG)
    if SONG in files and not info.separates:
        raise StemsError("This model cannot separate a whole song.", f"Send its stems, named {names}.", field=SONG)


def decode(data: bytes, field: str, filename: str, max_seconds: float) -> Audio:
    """Decode a file. StemsError names the field: not audio, too long, too many channels, too high a rate."""
    try:
        info = audio_info(data, name=filename)
        if info.channels > _MAX_CHANNELS or info.rate > _MAX_RATE:
            raise StemsError(
                f"'{filename}' has {info.channels} channels at {info.rate} Hz.",
                f"Send at most {_MAX_CHANNELS} channels and {_MAX_RATE} Hz.",
            )
        return read_audio(data, name=filename, max_seconds=max_seconds)
    except StemsError as error:
        # The audio reader knows files; the client must know which field.
        raise StemsError(error.message, error.hint, code=error.code, field=field) from error
