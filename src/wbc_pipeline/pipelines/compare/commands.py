"""Commands that a page advises: the user's own, with another pipeline."""

import shlex

_PIPELINE = ("--pipeline", "--pipelines", "-p")
_PLACES = {"image_folder": "sources.image_folder.folder", "table": "sources.table.file"}
_OWN = ("submission", "compare.")  # parameters that other pipelines have no use for


def command_for(pipeline: str, command: str, *, data: str, **parameters: str | None) -> str:
    """Write the command that runs another pipeline on the same data, environment and folder.

    Parameters
    ----------
    pipeline
        To run.
    command
        The one that is running.
    data
        The data folder, said where the command is none of ``kedro run``.
    **parameters
        What ``--params`` says beside what the command says, such as ``dataset``; None takes back
        what it says.

    Examples
    --------
    >>> command = "kedro run --env=test --pipeline=compare --params=data=out,submission=theirs.csv"
    >>> command_for("blend", command, data="/out", dataset="demo")
    'kedro run --env=test --pipeline=blend --params=data=out,dataset=demo'
    >>> command_for("blend", "pytest", data="/out", dataset="demo")
    'kedro run --pipeline=blend --params=data=/out,dataset=demo'
    """
    words = shlex.split(command)
    kept, given = ["kedro", "run"], {"data": data}
    if words[:2] == kept:
        given = {}
        rest = iter(words[2:])
        for word in rest:
            option, equals, value = word.partition("=")
            if option not in (*_PIPELINE, "--params"):
                kept.append(word)
                continue
            said = value if equals else next(rest, "")
            if option == "--params":
                given |= dict(pair.partition("=")[::2] for pair in said.split(","))
    given = {name: value for name, value in given.items() if not name.startswith(_OWN)} | parameters
    said = ",".join(f"{name}={value}" for name, value in given.items() if value is not None)
    return shlex.join([*kept, f"--pipeline={pipeline}", f"--params={said}"])


def lacking_places(command: str, dataset: str) -> list[str]:
    """Name the parameters that say where a user's own images lie, and that a command lacks.

    Nothing that a paper leaves says where its images were.

    Examples
    --------
    >>> lacking_places("kedro run --pipeline=compare --params=dataset=image_folder", "image_folder")
    ['sources.image_folder.folder']
    >>> lacking_places("kedro run --params=sources.table.file=cells.csv", "lisc+table")
    []
    """
    own = [_PLACES[name] for name in dataset.split("+") if name in _PLACES]
    return [place for place in own if f"{place}=" not in command]
