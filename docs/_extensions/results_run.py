"""The directive ``results-run``: by which command, where and when a page's tables were made."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class ResultsRun(SphinxDirective):
    """Show the command of a run, then its machine, dates, trainings and commits.

    The argument is a folder, beside the page, that ``docs/collect_results.py`` has written.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the facts; a build with ``-W`` fails where they can't be read."""
        file = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0] / "run.json"
        self.env.note_dependency(str(file))
        try:
            run = json.loads(file.read_text())
            dates = " to ".join(dict.fromkeys((run["first"], run["last"])))
            told = (
                f"{', '.join(run['hardware'])}, on {', '.join(run['device'])}, {dates}: "
                f"{run['trainings']} trainings, {run['hours']} hours in all, at "
                f"{', '.join(run['commits'])}. [Versions]({self.arguments[0]}/environment.txt)."
            )
            page = f"```bash\n{run['command']}\n```\n\n{told}\n"
        except (OSError, KeyError, ValueError) as error:
            raise self.error(f"{self.arguments[0]}: {error!r}") from error
        return self.parse_text_to_nodes(page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("results-run", ResultsRun)
    return {"parallel_read_safe": True}
