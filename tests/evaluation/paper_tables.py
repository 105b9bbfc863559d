"""A small paper's worth of tables: five variants, two protocols, two seeds, four views a cell."""

import numpy as np
import pandas as pd

CLASSES = ["basophil", "erythroblast", "monocyte", "myeloblast", "seg_neutrophil"]
VARIANTS = ["normal", "blend", "learnable_canny", "soft_mask", "adaptive_blend"]
PROTOCOLS = ["random", "source"]
SKILL = dict(zip(VARIANTS, (3.4, 4.0, 2.2, 3.7, 3.8), strict=True))


def make_predictions(
    *, sources=60, views=4, variants=VARIANTS, protocols=PROTOCOLS, seeds=(0, 1), classes=CLASSES
) -> pd.DataFrame:
    """Make predictions with a difficulty per source, so that views of one cell err together."""
    rng = np.random.default_rng(7)
    label = rng.integers(len(classes), size=sources).repeat(views)
    source = np.arange(sources).repeat(views)
    runs = []
    for variant in variants:
        for protocol in protocols:
            for seed in seeds:
                skill = SKILL.get(variant, 3) - 0.8 * (protocol == "source")
                hardness = rng.normal(size=(sources, len(classes))).repeat(views, axis=0)
                logits = 1.2 * hardness + 0.6 * rng.normal(size=(len(label), len(classes)))
                logits[np.arange(len(label)), label] += skill
                probability = np.exp(1.6 * logits)
                probability /= probability.sum(axis=1, keepdims=True)
                run = pd.DataFrame(probability, columns=[f"p_{name}" for name in classes])
                run.insert(0, "image_id", [f"cells/{i}.png" for i in range(len(label))])
                run.insert(1, "source_id", [f"cell-{i}" for i in source])
                run["dataset"], run["part"], run["condition"] = "demo", "test", "clean"
                run["variant"], run["protocol"], run["seed"] = variant, protocol, seed
                run["fold"] = 0
                run["label"] = np.array(classes)[label]
                run["inference_ms"] = 1.9 + 0.2 * VARIANTS.index(variant) + 0.1 * rng.random()
                runs.append(run)
    return pd.concat(runs, ignore_index=True)
