"""Run the project as ``python -m wbc_pipeline``."""

import sys
from pathlib import Path

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args, **kwargs) -> None:
    """Hand the command line to ``kedro run``."""
    package_name = Path(__file__).parent.name
    configure_project(package_name)
    run = find_run_command(package_name)
    kwargs["standalone_mode"] = not hasattr(sys, "ps1")
    run(*args, **kwargs)


if __name__ == "__main__":
    main()
