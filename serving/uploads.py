"""The multipart body of an edit: its audio files, decoded, and its fields."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from models.audio import Audio, audio_info, read_audio
from models.errors import StemsError
from serving.orders import ModelFacts
from serving.schemas import EditRequest

SONG = "song"

# Far beyond any request that makes sense; they bound the work of parsing one that does not.
_MAX_FIELDS = 64
_MAX_FIELD_BYTES = 64 * 1024
_MAX_CHANNELS = 8
_MAX_RATE = 192_000

_REPEATABLE = ("regenerate", "silent")


async def read_edit(request: Request, facts: ModelFacts, max_seconds: float) -> tuple[EditRequest, dict[str, Audio]]:
    """Parse the body of an edit.

    Returns:
        The fields, and the decoded audio by field name: ``song`` alone, or stems by name.

    Raises:
        StemsError: names the field that is unknown, missing, doubled, of a wrong type, or not audio.
        pydantic.ValidationError: for a field of a wrong value.
    """
    async with request.form(
        max_files=len(facts.layout.names) + 1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    ) as form:
        fields = EditRequest.model_validate(_fields(form))
        files = _files(form, facts)
        audio = {}
        for name, file in files.items():
            data = await file.read()
            audio[name] = await asyncio.to_thread(_decode, data, name, (file.filename or name)[:80], max_seconds)
    return fields, audio


def _fields(form: FormData) -> dict[str, object]:
    """Text fields as plain values; lists where they may be repeated."""
    fields: dict[str, object] = {}
    for name in form:
        values = [value for value in form.getlist(name) if not isinstance(value, UploadFile)]
        if not values:
            continue
        if name in EditRequest.model_fields and name not in _REPEATABLE and len(values) > 1:
            raise StemsError(f"The field '{name}' is given {len(values)} times.", "Give it once.", field=name)
        fields[name] = values if name in _REPEATABLE else values[0]
    # A form sends an empty string for a box left empty.
    return {name: value for name, value in fields.items() if value != "" or name == "prompt"}


def _files(form: FormData, facts: ModelFacts) -> dict[str, UploadFile]:
    names = facts.layout.names
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            continue
        if name in EditRequest.model_fields:
            raise StemsError(f"The field '{name}' is text, not a file.", "Send it as text.", field=name)
        if name != SONG and name not in names:
            raise StemsError(
                f"'{name}' is not a stem of this model.",
                f"Send a whole song as '{SONG}', or stems named {', '.join(names)}.",
                field=name,
            )
        if name in files:
            raise StemsError(f"The file '{name}' is sent twice.", "Send it once.", field=name)
        files[name] = value
    _check_choice(files.keys(), facts)
    return files


def _check_choice(files: Collection[str], facts: ModelFacts) -> None:
    names = ", ".join(facts.layout.names)
    if not files:
        raise StemsError(
            "There is no audio to change.",
            f"Send a whole song as '{SONG}', or one file per stem, named {names}.",
            field=SONG,
        )
    if SONG in files and len(files) > 1:
        raise StemsError(f"Both '{SONG}' and single stems are sent.", "Send one or the other.", field=SONG)
    if SONG in files and not facts.separates:
        raise StemsError("This model cannot separate a whole song.", f"Send its stems, named {names}.", field=SONG)


def _decode(data: bytes, field: str, filename: str, max_seconds: float) -> Audio:
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
        raise StemsError(error.message, error.mend, code=error.code, field=field) from error
