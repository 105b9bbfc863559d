"""What is wrong, doubtful and right with an image set: findings read from the audit's tables."""

import pandas as pd

from wbc_pipeline.evaluation.audit import image_rules, label_rules, split_rules
from wbc_pipeline.evaluation.audit.wording import Finding
from wbc_pipeline.evaluation.report.described import described

SEVERITIES = ("serious", "caution", "note")
_PATIENTS = Finding(
    "note",
    "No table names the patient or the slide behind a cell, so cells of one patient may stand on "
    "both sides of every split.",
    "",
    "Ask the authors which cells belong to which patient; report scores as per cell, not per "
    "patient.",
)


@described(
    heading="Findings",
    caption="What the tables and figures below say, the serious first.",
)
def find_defects(
    *,
    classes: pd.DataFrame,
    sizes: pd.DataFrame,
    rejects: pd.DataFrame,
    summary: pd.DataFrame,
    explained: pd.DataFrame,
    duplicates: pd.DataFrame,
    conflicts: pd.DataFrame,
    leaks: pd.DataFrame,
    filename_groups: pd.DataFrame,
    confounding: pd.DataFrame,
    guesses: pd.DataFrame,
    price: pd.DataFrame,
    suspects: pd.DataFrame,
    unjudged: pd.DataFrame,
    recovery: pd.DataFrame,
    overlaps: pd.DataFrame,
    shared_files: pd.DataFrame,
    patients_known: bool,
) -> pd.DataFrame:
    """Read findings from the tables of an audit.

    Parameters
    ----------
    classes
        Of ``count_images(manifest, by=["label"])``.
    sizes, rejects
        Of ``describe_files``.
    summary, explained
        Of ``summarise_measurements``.
    duplicates, conflicts, leaks, filename_groups, confounding
        Of ``list_duplicates``, ``list_conflicts``, ``measure_leaks``, ``examine_filename_groups``
        and ``measure_confounding``. No rows of duplicates or conflicts mean that none were found.
    guesses
        Classes or domains told from pixels that show no cell: ``target`` (label or domain),
        ``features``, ``balanced_accuracy`` with ``_low`` and ``_high``, ``chance``,
        ``p_permutation``, and ``reason`` where nothing could be guessed. May be empty.
    price
        Of ``price_of_leak``. May be empty.
    suspects, unjudged
        Of ``suspects.count_suspects``, and the classes that were left out of it.
    recovery
        Sources recovered from pixels: a row per image with ``certain`` and ``mirrored`` (bool),
        ``label_agrees`` (bool or missing). May be empty.
    overlaps
        Of ``tracing.describe_overlaps``. May be empty.
    shared_files
        Of ``gaps.count_shared_files``. May be empty.
    patients_known
        Whether every image says whose blood it shows.

    Returns
    -------
    DataFrame
        A row per finding: ``severity`` (serious, caution, note; in this order), ``finding`` (a
        sentence with its numbers), ``evidence`` (keys of the tables and figures behind it) and
        ``advice``. The evidence is named as the report of the pipeline ``audit`` names it.
    """
    found = [
        *split_rules.judge_leaks(leaks),
        *split_rules.judge_price(price, leaks),
        *split_rules.judge_test_sources(leaks),
        *split_rules.judge_filename_groups(filename_groups),
        *split_rules.judge_recovery(recovery),
        *split_rules.judge_overlaps(overlaps),
        *split_rules.judge_duplicates(duplicates),
        *image_rules.judge_conflicts(conflicts, classes),
        *split_rules.judge_shared_files(shared_files),
        *label_rules.judge_suspects(suspects, unjudged),
        *image_rules.judge_confounding(confounding),
        *image_rules.judge_guesses(guesses),
        *image_rules.judge_sizes(sizes),
        *image_rules.judge_measurements(summary, explained),
        *image_rules.judge_balance(classes),
        *image_rules.judge_files(classes, rejects),
    ]
    found += [] if patients_known else [_PATIENTS]
    table = pd.DataFrame(found, columns=Finding._fields)
    return table.sort_values(
        "severity", key=lambda names: names.map(SEVERITIES.index), kind="stable", ignore_index=True
    )


def count_findings(found: pd.DataFrame) -> str:
    """Say in a sentence how many findings there are, and the first of the serious ones.

    Parameters
    ----------
    found
        Of `find_defects`.
    """
    counts = found["severity"].value_counts()
    listed = ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if name in counts)
    serious = found.loc[found["severity"] == SEVERITIES[0], "finding"]
    first = f" {serious.iloc[0]}" if len(serious) else " None of them is serious."
    return f"Findings: {listed}.{first}" if listed else "Nothing was found."
