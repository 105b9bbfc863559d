"""The directive ``all-parameters``: every parameter, from the models that check them."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import yaml
from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from pydantic import RootModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from wbc_pipeline.options import Options
from wbc_pipeline.parameters.schema import SharedParameters
from wbc_pipeline.pipelines.experiment.options import PaperParameters
from wbc_pipeline.pipelines.papers import PAPERS

CONFIGURATION = Path(__file__).parents[2] / "conf" / "base"
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "at least"}
LONGEST_DEFAULT = 32  # characters; a longer one stands in the YAML
INNERMOST = re.compile(r"\$\{(\w+):([^${}]*)\}")
ABSENT = "–"
PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    type(None): "`null`",
    list: "list",
    dict: "by name",
    Any: "anything",
}
Models = dict[type, str]


class AllParameters(SphinxDirective):
    """List every parameter with its type, its default and what its docstring says.

    A group is described once, where it is met first.
    """

    def run(self) -> list[nodes.Node]:
        """Make a section for each group."""
        defaults = read_defaults()
        known: Models = {}
        lines = [*describe_group("Shared by all pipelines", SharedParameters, defaults, known)]
        for name, model in groups_of(SharedParameters):
            lines += describe_tree(name, model, defaults.get(name, {}), known)
        lines += describe_tree("<paper>", PaperParameters, {}, known)
        for paper in PAPERS:
            lines += describe_tree(paper.name, paper.options, defaults.get(paper.name, {}), known)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def read_defaults() -> dict[str, Any]:
    """Read what ``conf/base`` says where neither the command nor the environment says more."""
    shared = yaml.safe_load((CONFIGURATION / "globals.yml").read_text())

    def fill_in(found: re.Match) -> str:
        kind, said = found.groups()
        if kind == "globals":
            return str(shared[said])
        return said if kind == "path" else said.partition(",")[2]  # what stands for nothing said

    found = {}
    for file in sorted(CONFIGURATION.glob("parameters*.yml")):
        text = file.read_text()
        while INNERMOST.search(text):
            text = INNERMOST.sub(fill_in, text)
        found |= yaml.safe_load(text) or {}
    return found


def describe_tree(path: str, model: type, defaults: Any, known: Models) -> Iterator[str]:
    """Write the section of a group, and of those inside it that were not met yet."""
    if model in known:
        return
    known[model] = path
    yield from describe_group(path, model, defaults, known)
    for name, inner in groups_of(model):
        inside = defaults.get(name) if isinstance(defaults, dict) else None
        yield from describe_tree(f"{path}.{name}", inner, inside, known)


def describe_group(path: str, model: type, defaults: Any, known: Models) -> Iterator[str]:
    """Write one section; a paper's has only what the paper has of its own.

    Parameters
    ----------
    path
        Where the group stands.
    model
        That checks it.
    defaults
        What YAML says there.
    known
        Groups that have a section already.
    """
    fields = dict(model.model_fields)
    if model is not PaperParameters and issubclass(model, PaperParameters):
        fields = {name: field for name, field in fields.items() if name in model.__annotations__}
    if not fields:
        return
    heading = path if " " in path else f"`{path}`"
    yield from ("", f"## {heading}", "", _summary(model), "")
    meanings = _meanings(model)
    yield from ("| parameter | values | default | meaning |", "|---|---|---|---|")
    for name, field in fields.items():
        groups = [found for found, _ in _models(field.annotation)]
        meaning = meanings.get(name) or " ".join(map(_summary, groups)) or ABSENT
        if groups and groups[0] in known:
            meaning += f" See `{known[groups[0]]}`."
        default = ABSENT if groups else _default(name, field, defaults)
        cells = f"`{name}`", _values(field), default, meaning
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def groups_of(model: type) -> Iterator[tuple[str, type]]:
    """Find the groups inside a group: below a name of its own, or below names of the user's."""
    for name, field in model.model_fields.items():
        for found, is_named in _models(field.annotation):
            yield (f"{name}.<name>" if is_named else name), found


def _models(annotation: Any, is_named: bool = False) -> Iterator[tuple[type, bool]]:
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        yield from _models(annotation.model_fields["root"].annotation, is_named)
    elif isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation, is_named
    else:
        inside = is_named or get_origin(annotation) is dict
        for each in get_args(annotation):
            yield from _models(each, inside)


def _summary(model: type) -> str:
    return " ".join(NumpyDocString(model.__doc__ or "")["Summary"])


def _meanings(model: type) -> dict[str, str]:
    """Give what docstrings say of parameters, those of parents too; one text may be of several."""
    texts = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, Options):
            continue
        for parameter in NumpyDocString(each.__doc__ or "")["Parameters"]:
            for name in parameter.name.split(","):
                texts[name.strip()] = " ".join(" ".join(parameter.desc).split())
    return texts


def _default(name: str, field: FieldInfo, defaults: Any) -> str:
    value = defaults.get(name, field) if isinstance(defaults, dict) else field
    if value is field:
        if field.is_required():
            return ABSENT
        value = field.get_default(call_default_factory=True)
    text = yaml.safe_dump(  # as a user would write it
        to_jsonable_python(value), default_flow_style=True, width=10_000, allow_unicode=True
    )
    text = text.removesuffix("\n").removesuffix("\n...")
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see the YAML"


def _values(field: FieldInfo) -> str:
    limits = [*_limits(field.metadata)]
    return ", ".join([_name(field.annotation), *limits])


def _limits(metadata: list) -> Iterator[str]:
    for each in metadata:
        if not isinstance(each, annotated_types.BaseMetadata):
            continue
        for name, sign in SIGNS.items():
            if getattr(each, name, None) is not None:
                yield f"{sign} {getattr(each, name)}"


def _name(annotation: Any) -> str:
    """Write a type as a reader of YAML would."""
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        annotation = annotation.model_fields["root"].annotation
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin is Annotated:
        return _name(inside[0])  # what follows are limits
    names = [_name(each) for each in inside]
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(names))
    if origin in (list, tuple):
        return f"list of {names[0]}"
    return f"by name: {names[1]}" if origin is dict else "group"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("all-parameters", AllParameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
