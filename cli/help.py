"""`stems --help`, and the help of a group of commands or of one."""

from __future__ import annotations

from cyclopts.help import DefaultFormatter, HelpEntry, HelpPanel, InlineText
from rich.console import Console

from cli.app import command_app
from cli.commands import COMMANDS, GROUPS, Path, below
from cli.output import console

_ABOUT = """\
`stems COMMAND --help` explains the options of one. Of any: --config FILE.yaml reads settings from a file,
--print-config writes one, --debug shows tracebacks. `stems --version` says the version, and
`stems --install-completion` lets the shell complete commands and options.

Lists are given as --regenerate bass drums or --regenerate bass,drums, flags as --dry-run or --no-dry-run.
The notation of version 0.1 (--dry_run true, --regenerate '[bass, drums]') still works in this one.

exit codes:
    0  it worked
    1  an internal error
    2  something that you can fix: a setting, a file, a cluster that is too small
    3  the job finished or stopped, but too many files failed
    4  stems table verify found a broken contract
  130  interrupted (Ctrl-C or SIGTERM): run the same command to go on"""


def show_help(path: Path) -> None:
    """Print the help of a command, or the list of the commands under a path."""
    page = console()
    if path not in COMMANDS:
        _show_list(path, page)
        return
    command_app(path).help_print([], console=page)
    more = [" ".join(("stems", *name)) for name in below(path) if name != path]
    if more:
        _say(f"See also: {', '.join(more)}.", page)


def _show_list(path: Path, page: Console) -> None:
    _say(f"Usage: {' '.join(('stems', *path))} COMMAND ...\n", page)
    if not path:
        _say("Multi-stem music: tokens, models, service.\n", page)
    for group in GROUPS:
        entries = [
            HelpEntry(positive_names=(" ".join(name),), description=InlineText.from_format(command.help, "plaintext"))
            for name, command in below(path).items()
            if command.group == group
        ]
        if entries:
            panel = HelpPanel(format="command", title=group, entries=entries)
            DefaultFormatter()(page, page.options, panel)
    _say(f"\n{_ABOUT}", page)


def _say(text: str, page: Console) -> None:
    page.print(text, markup=False, highlight=False, soft_wrap=True)
