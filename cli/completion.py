"""`stems --install-completion`: the shell completes commands, options and choices."""

from __future__ import annotations

from cli.reporting import fail


def install_completion(argv: list[str]) -> int:
    """Write the completion script of a shell where the shell looks for it."""
    from cyclopts import CycloptsError
    from cyclopts.completion import ShellDetectionError

    from cli.app import whole_app

    app = whole_app()
    try:
        app(argv, result_action="return_value", exit_on_error=False, print_error=False)
    except ShellDetectionError:
        return fail("The shell is not known. Name it: stems --install-completion --shell bash (or zsh, fish).")
    except CycloptsError as error:
        return fail(" ".join(str(error).split()))
    return 0
