"""What a paper's printed numbers say of themselves, in words."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.calibration import explain_published_loss, largest_mean_loss
from wbc_pipeline.evaluation.scores.comparison import printed_text, published_values
from wbc_pipeline.evaluation.scores.printed.matrix import (
    MatrixCounts,
    find_counts,
    score_bounds,
)
from wbc_pipeline.evaluation.scores.printed.shares import (
    LARGEST,
    PrintedShare,
    Rounding,
    line_totals,
    mean_of_recalls,
    per_cent,
    possible_sizes,
)

COLUMNS = ["of", "printed", "held_against", "agrees", "finding"]
LISTED = 5  # sizes or shares that are written out


@described(
    heading="Printed numbers",
    caption="Before a number is reproduced: is it possible? A percentage of few images takes few "
    "values, and a confusion matrix fixes its scores. Nothing here depends on this run.",
)
def examine_printed(
    published: Mapping[str, Mapping[str, object]],
    *,
    classes: int,
    tests: Sequence[Mapping] = (),
    recalls: Mapping[str, Mapping[str, object]] | None = None,
    matrices: Mapping[str, Mapping] | None = None,
    parts: Mapping | None = None,
    rounding: Rounding = "nearest",
) -> pd.DataFrame:
    """Hold what a paper prints against itself.

    Parameters
    ----------
    published
        ``{variant: {metric: value}}``; the k-th values of all variants that print k are taken to
        be of one test set.
    classes
        How many the paper tells apart, for losses.
    tests
        What could have been tested: ``what`` it is, and its possible sizes, ``images``, or the
        images of each class, ``classes``; the other is empty.
    recalls
        ``{variant: {class: value}}`` where the paper prints them.
    matrices
        By variant, a confusion matrix in per cent: ``table`` (its name), ``classes`` in order,
        ``labels`` (``rows`` or ``columns``: where the true classes are), and one or more of
        ``of_rows``, ``of_columns``, ``of_all``.
    parts
        The ``table`` of the images of each class in ``train`` and ``test``, and the ``test_share``
        that is printed beside it.
    rounding
        See `possible_sizes`.

    Returns
    -------
    DataFrame
        A row per question: ``of``, ``printed``, ``held_against``, ``agrees`` (``yes``, ``no``;
        empty where nothing is claimed), ``finding`` in words.
    """
    rows = [
        *_sizes(published, tests, rounding),
        *_recalls(recalls or {}, published, tests, rounding),
        *(_parts(parts, rounding) if parts else ()),
        *_matrices(matrices or {}, published, tests, rounding),
        *_losses(published, classes),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def check_shares(
    published: Mapping[str, Mapping[str, object]],
    recalls: Mapping[str, Mapping[str, object]],
    matrices: Mapping[str, Mapping],
    parts: Mapping | None = None,
) -> None:
    """Check that whatever `examine_printed` takes for a share is one.

    Raises
    ------
    ValueError
        Naming where it stands, and what to write.
    """
    printed = {
        f"published.{variant}.accuracy": _as_list(values.get("accuracy", []))
        for variant, values in published.items()
    }
    printed |= {
        f"printed.recalls.{variant}.{name}": [value]
        for variant, values in recalls.items()
        for name, value in values.items()
    }
    if parts:
        printed["printed.parts.test_share"] = [parts["test_share"]]
    cells = {
        f"printed.matrices.{variant}.{name}": [c for line in table for c in line if c is not None]
        for variant, matrix in matrices.items()
        for name, table in _tables(matrix).items()
    }
    for group, percent in ((printed, False), (cells, True)):
        for place, values in group.items():
            try:
                for value in values:
                    PrintedShare.read(value, percent=percent)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None


def _row(of: str, printed: object, against: str, agrees: bool | None, finding: str) -> dict:
    verdict = "" if agrees is None else "yes" if agrees else "no"
    return dict(zip(COLUMNS, (of, str(printed), against, verdict, finding), strict=True))


def _sizes(published: Mapping, tests: Sequence[Mapping], rounding: Rounding) -> Iterator[dict]:
    """Ask of the accuracies printed together which test sets they can be of."""
    printed = _shares_together(published)
    for number, shares in enumerate(printed, start=1):
        of = "accuracy" if len(printed) == 1 else f"accuracy, values no. {number}"
        text = ", ".join(map(str, shares))
        yield _row(of, text, "each other", None, _smallest_test_set(shares, rounding))
        for test in tests:
            tested = test["images"] or [sum(test["classes"].values())]
            possible = any(all(s.counts(size, rounding) for s in shares) for size in tested)
            finding = _against_sizes(shares, tested, rounding)
            yield _row(of, text, test["what"], possible, finding)


def _shares_together(published: Mapping) -> list[list[PrintedShare]]:
    """Distinct accuracies: the first of each variant, then the second of those that print two."""
    together: list[dict[PrintedShare, None]] = []
    for values in published.values():
        for number, share in enumerate(_read_all(values.get("accuracy", []))):
            if number == len(together):
                together.append({})
            together[number][share] = None
    return [[*shares] for shares in together]


def _smallest_test_set(shares: list[PrintedShare], rounding: Rounding) -> str:
    sizes = possible_sizes(shares, rounding=rounding)
    if not sizes:
        return f"No test set of up to {LARGEST:,} images fits."
    start = "It is of" if len(shares) == 1 else "If they are of one test set, it has"
    first = ", ".join(f"{size:,}" for size in sizes[:LISTED])
    certain = max(share.scale for share in shares)
    rest = f", … and every size from {certain:,}" if certain <= LARGEST else ", …"
    return f"{start} at least {sizes[0]:,} images; possible are {first}{rest}."


def _against_sizes(shares: list[PrintedShare], sizes: list[int], rounding: Rounding) -> str:
    impossible = [s for s in shares if not any(s.counts(size, rounding) for size in sizes)]
    possible = [share for share in shares if share not in impossible]
    said = [
        f"{share} is no share of {_numbers(sizes)} images ({_nearest(share, sizes)})"
        for share in impossible
    ]
    if len(possible) > LISTED:
        said.append(f"{'the other' if said else 'all'} {len(possible)} are possible")
    else:
        said += [_counted(share, sizes, rounding) for share in possible]
    return "; ".join(said) + "."


def _nearest(share: PrintedShare, sizes: list[int]) -> str:
    counts = {size: min(size, int(share.value * size + Fraction(1, 2))) for size in sizes}
    return ", ".join(
        f"{count:,} of {size:,} are {per_cent(Fraction(count, size))}"
        for size, count in counts.items()
    )


def _counted(share: PrintedShare, sizes: list[int], rounding: Rounding) -> str:
    found = {size: share.counts(size, rounding) for size in sizes}
    return f"{share} is " + " or ".join(
        f"{_span(counts[0], counts[-1])} of {size:,}" for size, counts in found.items() if counts
    )


def _recalls(
    recalls: Mapping, published: Mapping, tests: Sequence[Mapping], rounding: Rounding
) -> Iterator[dict]:
    """Hold recalls against the images of each class, and the accuracy against the recalls."""
    for variant, printed in recalls.items():
        shares = {name: PrintedShare.read(value) for name, value in printed.items()}
        text = ", ".join(f"{name} {share}" for name, share in shares.items())
        for test in tests:
            if not test["classes"]:
                continue
            totals = test["classes"]
            fits = {name: bool(s.counts(totals[name], rounding)) for name, s in shares.items()}
            said = [_recall(name, share, totals, rounding) for name, share in shares.items()]
            yield _row(
                f"recall, {variant}",
                text,
                test["what"],
                all(fits.values()),
                "; ".join(said) + ".",
            )
            if shares.keys() == totals.keys() and "accuracy" in published.get(variant, {}):
                yield _mean_recall(variant, shares, test, published[variant], rounding)


def _recall(name: str, share: PrintedShare, totals: Mapping, rounding: Rounding) -> str:
    if share.counts(totals[name], rounding):
        return _counted(share, [totals[name]], rounding) + f" {name} images"
    others = [other for other, total in totals.items() if share.counts(total, rounding)]
    elsewhere = f", though of {', '.join(others)}" if others else ", nor of any other class"
    return (
        f"{share} is no share of {totals[name]:,} {name} images "
        f"({_nearest(share, [totals[name]])}){elsewhere}"
    )


def _mean_recall(
    variant: str, shares: Mapping, test: Mapping, published: Mapping, rounding: Rounding
) -> dict:
    totals = [test["classes"][name] for name in shares]
    bounds = mean_of_recalls([*shares.values()], totals, rounding)
    agrees = _any_printed(published["accuracy"], bounds, rounding)
    return _row(
        f"accuracy, {variant}",
        _shares_text(published["accuracy"]),
        f"its recalls, on {test['what']}",
        agrees,
        f"The recalls mean an accuracy of {_bounds_text(bounds)}.",
    )


def _parts(parts: Mapping, rounding: Rounding) -> Iterator[dict]:
    """Hold the share of tested images against the counts of a printed table."""
    train, test = (sum(parts[part].values()) for part in ("train", "test"))
    share = Fraction(test, train + test)
    printed = PrintedShare.read(parts["test_share"])
    yield _row(
        "share of tested images",
        str(printed),
        parts["table"],
        printed.includes(share, share, rounding),
        f"The table's counts are {test:,} of {train + test:,}: {per_cent(share)}.",
    )


def _matrices(
    matrices: Mapping, published: Mapping, tests: Sequence[Mapping], rounding: Rounding
) -> Iterator[dict]:
    """Find counts behind each matrix on each test set, and hold the scores beside against them."""
    for variant, matrix in matrices.items():
        of, shape = f"confusion matrix, {variant}", f"{len(matrix['classes'])} classes"
        for test in tests:
            if not test["classes"]:
                continue
            against = f"{matrix['table']} on {test['what']}"
            try:
                counts, order = _on_test(matrix, test, rounding)
            except TimeoutError as error:
                yield _row(of, shape, against, None, f"Not decided: {error}.")
                continue
            if counts is None:
                finding = f"Fits no counts of {test['what']}, with its classes in any order."
                yield _row(of, shape, against, False, finding + _smallest(matrix, rounding))
                continue
            yield _row(of, shape, against, order == "given", _found(counts, matrix, order))
            bounds = score_bounds(counts, matrix["classes"], labels=matrix["labels"])
            for metric in published.get(variant, {}).keys() & bounds.keys():
                printed = published[variant][metric]
                yield _row(
                    f"{metric.replace('_', ' ')}, {variant}",
                    _shares_text(printed),
                    against,
                    _any_printed(printed, bounds[metric], rounding),
                    f"The counts behind the matrix make it {_bounds_text(bounds[metric])}.",
                )


def _tables(matrix: Mapping) -> dict:
    names = ("of_rows", "of_columns", "of_all")
    return {name: matrix[name] for name in names if matrix.get(name) is not None}


def _on_test(matrix: Mapping, test: Mapping, rounding: Rounding) -> tuple[MatrixCounts | None, str]:
    totals = [test["classes"][name] for name in matrix["classes"]]
    axis = "row_totals" if matrix["labels"] == "rows" else "column_totals"
    asked = _tables(matrix) | {axis: totals, "rounding": rounding}
    found = find_counts(**asked)
    return (found, "given") if found else (find_counts(**asked, any_order=True), "other")


def _found(counts: MatrixCounts, matrix: Mapping, order: str) -> str:
    kind = "One set of counts fits" if counts.is_unique else "Several sets of counts fit"
    rows, columns = (
        ", ".join(
            _span(*ends) for ends in zip(counts.low.sum(axis), counts.high.sum(axis), strict=True)
        )
        for axis in (1, 0)
    )
    swapped = "" if order == "given" else ", with the numbers of the classes in another order"
    return (
        f"{kind}{swapped}: rows {rows}; columns {columns}; "
        f"{_span(*counts.correct)} right of {_span(*counts.images)}."
    )


def _smallest(matrix: Mapping, rounding: Rounding) -> str:
    """Say how few images each line of the matrix can have on its own."""
    said = []
    for name, table in _tables(matrix).items():
        if name == "of_all":
            continue
        lines = table if name == "of_rows" else zip(*table, strict=True)
        smallest = ", ".join(_smallest_line(line, rounding) for line in lines)
        said.append(f" The smallest numbers of its {name[3:]} are {smallest}.")
    return "".join(said)


def _smallest_line(line: Sequence[object], rounding: Rounding) -> str:
    if None in line:
        return "not known"
    shares = [PrintedShare.read(cell, percent=True) for cell in line]
    limit = min(LARGEST, max(share.scale for share in shares))
    totals = line_totals(shares, up_to=limit, rounding=rounding)
    return f"{totals[0]:,}" if totals else "none"


def _losses(published: Mapping, classes: int) -> Iterator[dict]:
    """Ask of each printed loss whether it goes with the accuracy printed beside it."""
    for variant, values in published.items():
        if {"accuracy", "log_loss"} <= values.keys():
            accuracy, loss = (published_values(values[key])[0] for key in ("accuracy", "log_loss"))
            yield _row(
                f"log loss, {variant}",
                printed_text(values["log_loss"]),
                f"an accuracy of {_shares_text(values['accuracy'])}",
                loss <= largest_mean_loss(accuracy, classes=classes),
                explain_published_loss(accuracy, loss, classes=classes),
            )


def _any_printed(printed: object, bounds: tuple[Fraction, Fraction], rounding: Rounding) -> bool:
    return any(share.includes(*bounds, rounding) for share in _read_all(printed))


def _shares_text(printed: object) -> str:
    return " / ".join(map(str, _read_all(printed)))


def _read_all(printed: object) -> list[PrintedShare]:
    return [PrintedShare.read(value) for value in _as_list(printed)]


def _as_list(printed: object) -> list:
    return [*printed] if isinstance(printed, list | tuple) else [printed]


def _bounds_text(bounds: tuple[Fraction, Fraction]) -> str:
    least, most = (per_cent(end) for end in bounds)
    return least if least == most else f"{least} to {most}"


def _span(least: int, most: int) -> str:
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _numbers(numbers: Sequence[int]) -> str:
    *first, last = (f"{number:,}" for number in numbers)
    return f"{', '.join(first)} or {last}" if first else last
