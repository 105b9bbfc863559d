"""Predictions of fine classes whose answers are told one by one."""

import pandas as pd

CLASSES = ("PMY", "MY", "MMY", "BNE", "SNE", "LY")


def make_answers(
    *answers, variant="plain", protocol="source", seed=0, part="test", classes=CLASSES
):
    """Make a row per ``(label, answer)``, each a cell of its own, the same in all variants."""
    table = pd.DataFrame(
        {
            "dataset": "made",
            "image_id": [f"{number}.png" for number in range(len(answers))],
            "source_id": [f"cell {number}" for number in range(len(answers))],
            "part": part,
            "variant": variant,
            "protocol": protocol,
            "seed": seed,
            "fold": 0,
            "condition": "clean",
            "label": [label for label, _ in answers],
        }
    )
    for name in classes:
        table[f"p_{name}"] = [0.9 if given == name else 0.02 for _, given in answers]
    columns = [f"p_{name}" for name in classes]
    table[columns] = table[columns].div(table[columns].sum(axis=1), axis=0)
    return table
