"""What may be typed, and what settings it makes; nothing that may be typed shows a library's report."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers.take_songs import Run, Seen, Settings

from cli.parsing import parse
from pipelines.composing.config import EditConfig


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["t", "a", "b"], {}),
        (["t", "a", "b", "--reason", "asked"], {"reason": "asked"}),
        (["--reason", "asked", "t", "a", "b"], {"reason": "asked"}),
        (["t", "--reason=asked", "a", "b"], {"reason": "asked"}),
        (["t", "a", "b", "--reason=--odd"], {"reason": "--odd"}),
        (["t", "a", "b", "--reason", ""], {"reason": ""}),
        (["t", "a", "b", "--reason="], {"reason": ""}),
        (["t", "a", "b", "--reason", "[x]"], {"reason": "[x]"}),
        (["t", "a", "b", "--reason", "null"], {"reason": "null"}),
        (["t", "a", "b", "--reason", "one", "--reason", "two"], {"reason": "two"}),
        (["t", "a", "b", "--dry-run", "--no-keep-mix"], {"dry_run": True, "keep_mix": False}),
        (["t", "a", "b", "--dry-run", "--no-dry-run"], {}),
        (["t", "a", "b", "--dry-run=true", "--keep-mix=false"], {"dry_run": True, "keep_mix": False}),
        (["--dry-run", "t", "a", "b"], {"dry_run": True}),
        (["t", "a", "b", "--kinds", "wav", "flac"], {"kinds": ["wav", "flac"]}),
        (["t", "a", "b", "--kinds", "wav", "--kinds", "flac"], {"kinds": ["wav", "flac"]}),
        (["t", "a", "b", "--kinds"], {"kinds": []}),
        (["t", "a", "b", "--sizes", "-1", "2"], {"sizes": [-1, 2]}),
        (["t", "a", "b", "--share", ".25"], {"share": 0.25}),
        (["t", "a", "b", "--share", "null"], {"share": None}),
        (["t", "a", "b", "--room", "top=1", "low=2.5"], {"room": {"top": 1, "low": 2.5}}),
        (["t", "a", "b", "--resume"], {"resume": True}),
        (["t", "a", "b", "--resume", "auto", "--no-resume"], {"resume": False}),
        # the notation of version 0.1
        (["t", "a", "b", "--dry_run", "true", "--keep_mix", "false"], {"dry_run": True, "keep_mix": False}),
        (["t", "a", "b", "--dry_run=true"], {"dry_run": True}),
        (["--dry_run", "true", "t", "a", "b"], {"dry_run": True}),
        (["t", "a", "b", "--kinds", "[wav, flac]"], {"kinds": ["wav", "flac"]}),
        (["t", "a", "b", "--kinds=[wav]"], {"kinds": ["wav"]}),
        (["t", "a", "b", "--kinds", "[]"], {"kinds": []}),
        (["t", "a", "b", "--sizes", "[1, 20]"], {"sizes": [1, 20]}),
        (["t", "a", "b", "--room", "{top: 1}"], {"room": {"top": 1}}),
        (["t", "a", "b", "--resume", "true"], {"resume": True}),
        (["t", "a", "b", "--resume", "false"], {"resume": False}),
    ],
)
def test_words_become_settings(run: Run, seen: Seen, words: list[str], settings: dict[str, object]) -> None:
    assert run("take", *words) == (0, "", "")
    assert seen == [Settings.model_validate({"table": "t", "songs": ["a", "b"], **settings})]


def test_what_stands_after_two_dashes_is_not_an_option(run: Run, seen: Seen) -> None:
    assert run("take", "t", "--", "--help", "-a", "[x]")[0] == 0
    assert seen[0].songs == ["--help", "-a", "[x]"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["take"], "TABLE, SONGS must be given. See `stems take --help`."),
        (["take", "t"], "SONGS must be given. See `stems take --help`."),
        (["shelve", "plan"], "--table, --songs must be given. See `stems shelve plan --help`."),
        (["take", "", "a"], "TABLE '': it may not be empty."),
        (["take", "t", "a", "--table", "x"], "TABLE is given without --table. See `stems take --help`."),
        (["take", "t", "a", "--reson", "x"], "--reson is not an option of `stems take`. Did you mean --reason?"),
        (
            ["take", "t", "a", "--no-dryrun"],
            "--no-dryrun is not an option of `stems take`. Did you mean --no-dry-run?",
        ),
        (["take", "t", "a", "-x"], "-x is not an option of `stems take`. See `stems take --help`."),
        (["take", "t", "a", "--reason"], "--reason needs a value. See `stems take --help`."),
        (["take", "t", "a", "--reason", "--dry-run"], "--reason needs a value. See `stems take --help`."),
        (
            ["take", "t", "a", "--reason", "-loud"],
            "--reason needs a value. One that begins with a dash is written as --reason=-loud.",
        ),
        (["take", "t", "a", "--dry-run=maybe"], "--dry-run=maybe: leave the value out, or say true or false."),
        (["take", "t", "a", "--kinds", "wav", "falc"], "--kinds falc: choose flac or wav. Did you mean flac?"),
        (["take", "t", "a", "--sizes", "1", "1.5"], "--sizes 1.5: give a whole number."),
        (["take", "t", "a", "--share", "much"], "--share much: give a number."),
        (["take", "t", "a", "--share", "-1"], "--share -1: give at least 0."),
        (["take", "t", "a", "--share", "1"], "--share 1: give less than 1."),
        (["take", "t", "a", "--share", ""], "--share '': give a number."),
        (["take", "t", "a", "--room", "top=x"], "--room top=x: give a number."),
        (["take", "t", "a", "--room", "top"], "--room top=: give a number."),
        (["take", "t", "a", "--resume", "maybe"], "--resume maybe: choose auto, true or false."),
        (["take", "t\0", "a"], "TABLE holds a NUL character. Take it out."),
        (["take", "t", "a\0"], "SONGS holds a NUL character. Take it out."),
        (["take", "\udcff", "a"], "TABLE \\udcff: it holds characters that are not text."),
        (["trian"], "'trian' is not a command. Did you mean 'train'?"),
        (["train", "ml"], "'train ml' is not a command. Did you mean 'train lm'?"),
        (["verify"], "'verify' is not a command. Did you mean 'table verify'?"),
        (
            ["table", "export", "webdatset"],
            "'table export webdatset' is not a command. Did you mean 'table export webdataset'?",
        ),
        (["prepare", "paln", "--table", "t"], "'prepare paln' is not a command. Did you mean 'prepare plan'?"),
        (["xyzzy"], "'xyzzy' is not a command. See `stems --help`."),
        (["--secondz", "generate"], "'--secondz' is not a command. See `stems --help`."),
        (["--hepl"], "'--hepl' is not a command. Did you mean '--help'?"),
        (["help", "trian"], "'trian' is not a command. Did you mean 'train'?"),
        (
            ["generate", "now", "--model", "x"],
            "'now' belongs to no option of `stems generate`. See `stems generate --help`.",
        ),
        (["generate", "--model", "x", "--seconds", "-3"], "--seconds -3: give at least 0.5."),
        (["generate", "--model", "x", "--seconds", "nan"], "--seconds nan: give a finite number."),
        (["generate", "--model", "x", "--seed", "-1"], "--seed -1: give at least 0."),
        (
            ["edit", "--model", "x", "--song", "s", "--region", "6", "4"],
            "--region 6 4: write it as START and END in seconds, such as 0.5 2.5 or 0.5-2.5.",
        ),
        (
            ["edit", "--model", "x", "--song", "s", "--region", "-1", "4"],
            "--region -1 4: write it as START and END in seconds, such as 0.5 2.5 or 0.5-2.5.",
        ),
        (
            ["keys", "add", "A!"],
            "NAME A!: it does not fit. Name of the key's holder: small letters, digits and dashes.",
        ),
        (
            ["train", "lm", "--table", "t", "--codecs", "c", "--preset", "larg"],
            "--preset larg: choose tiny, small, medium or large. Did you mean large?",
        ),
        (["generate", "--config", "/nowhere.yaml"], "'/nowhere.yaml': No such file or directory. Check the path."),
        (["generate", "--config", "/"], "'/': Is a directory. Name a file, not a folder."),
    ],
)
def test_what_is_wrong_is_one_line_that_says_how_to_fix_it(
    run: Run, job: object, words: list[str], said: str
) -> None:
    assert run(*words) == (2, "", f"stems: {said}\n")


def test_each_wrong_setting_has_a_line(run: Run, job: object) -> None:
    status, _, said = run("take", "t", "a", "--share", "2", "--sizes", "x", "y")
    assert (status, said) == (2, "stems: --sizes x: give a whole number.\nstems: --share 2: give less than 1.\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "table: t\nsongs: [a]\nreson: x\n",
            "There is no setting 'reson' of `stems shelve` (in {file}). Did you mean reason?",
        ),
        ("- a\n- b\n", "'{file}' holds a list. Write a line NAME: VALUE for each setting."),
        ("words", "'{file}' holds no settings. Write a line NAME: VALUE for each setting."),
        (
            "a: [\n",
            "'{file}' is not YAML in line 2: expected the node content, but found '<stream end>'. "
            "Write a line NAME: VALUE for each setting.",
        ),
        ("a: \xff", "'{file}' is not YAML: invalid start byte. Write a line NAME: VALUE for each setting."),
        ("table: t\nsongs: [a]\nshare: -1\n", "--share -1 (in {file}): give at least 0."),
        (
            "table: t\nsongs: [a]\nreason: 5\n",
            "--reason 5 (in {file}): give text (in a YAML file, put it in quotes).",
        ),
        ("table: t\nsongs: a\n", "--songs a (in {file}): give a list."),
        ("", "--table, --songs must be given. See `stems shelve --help`."),
    ],
)
def test_what_is_wrong_in_a_file_names_the_file(run: Run, job: object, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "take.yaml"
    file.write_bytes(text.encode("latin-1"))
    assert run("shelve", "--config", str(file)) == (2, "", f"stems: {said.format(file=file)}\n")


def test_settings_come_from_files_and_the_command_line_wins(run: Run, seen: Seen, tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(yaml.safe_dump({"table": "t", "songs": ["a"], "reason": "one", "dry-run": True, "share": 0.1}))
    two.write_text("reason: two\nkeep_mix: false\n")
    assert run("shelve", "--config", str(one), "--config", str(two), "--share", "0.2")[0] == 0
    assert run("take", "--config", str(one))[0] == 0  # positional settings, too
    both = {"table": "t", "songs": ["a"], "dry_run": True}
    assert seen == [
        Settings.model_validate({**both, "reason": "two", "keep_mix": False, "share": 0.2}),
        Settings.model_validate({**both, "reason": "one", "share": 0.1}),
    ]


def test_settings_are_printed_as_a_file_that_is_read_again(run: Run, seen: Seen, tmp_path: Path) -> None:
    status, out, _ = run("shelve", "--table", "t", "--songs", "à", "--room", "top=1", "--print-config")
    assert (status, seen) == (0, [])
    (tmp_path / "shelve.yaml").write_text(out, encoding="utf-8")
    assert run("shelve", "--config", str(tmp_path / "shelve.yaml"))[0] == 0
    assert seen == [Settings(table="t", songs=["à"], room={"top": 1.0})]


def test_secrets_are_not_printed(run: Run) -> None:
    assert "secret" not in run("serve", "--model", "m", "--webhook-secret", "whsec_x", "--print-config")[1]
    assert "hush" not in run("request", "song", "--key", "hush", "--print_config")[1]


EDIT = {"model": "m", "song": "s", "regenerate": ["bass", "drums"], "region": (4.0, 6.0), "keep": "free"}


@pytest.mark.parametrize(
    "words",
    [
        ["--regenerate", "bass", "drums", "--region", "4", "6", "--keep", "free"],
        ["--regenerate", "bass,drums", "--region", "4-6", "--keep=free"],
        ["--regenerate=bass", "--regenerate", "drums", "--region=4,6", "--keep", "free"],
        ["--regenerate", "[bass, drums]", "--region", "[4, 6]", "--exact", "false"],
        ["--regenerate", "[bass, drums]", "--region=[4, 6]", "--exact=false"],
    ],
)
def test_an_edit_is_written_alike_for_a_model_and_for_a_service(words: list[str]) -> None:
    here = parse(("edit",), ["--model", "m", "--song", "s", *words]).settings
    assert here == EditConfig.model_validate(EDIT)
    there = parse(("request", "edit"), ["--song", "s", *words]).settings.model_dump()
    shared = {name: value for name, value in EDIT.items() if name != "model"}
    assert {name: there[name] for name in shared} == shared


@pytest.mark.parametrize(
    "text",
    ["regenerate: [bass, drums]\nregion: [4, 6]\nkeep: free", "regenerate: bass, drums\nregion: 4-6\nexact: false"],
)
def test_a_file_says_an_edit_alike(tmp_path: Path, text: str) -> None:
    (tmp_path / "edit.yaml").write_text(f"model: m\nsong: s\n{text}\n")
    assert parse(("edit",), ["--config", str(tmp_path / "edit.yaml")]).settings == EditConfig.model_validate(EDIT)
