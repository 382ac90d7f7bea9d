"""The command line: `stems COMMAND --help`. Every command is a typed configuration and a function of it."""

from cli.commands import COMMANDS, Command
from cli.run import main

__all__ = ["COMMANDS", "Command", "main"]
