"""The tables of ``paper_tables`` as fixtures, and what a run tracks beside predictions."""

import numpy as np
import pandas as pd
import pytest
from paper_tables import CLASSES, PROTOCOLS, SKILL, VARIANTS, make_predictions


@pytest.fixture(scope="session")
def predictions() -> pd.DataFrame:
    return make_predictions()


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    rng, rows = np.random.default_rng(1), []
    for variant in VARIANTS:
        for protocol in PROTOCOLS:
            for seed in (0, 1):
                for epoch in range(12 - 2 * seed):
                    fit = 1 - 0.75 * np.exp(-epoch * SKILL[variant] / 12)
                    gap = 0.02 + 0.05 * (protocol == "source")
                    noise = rng.normal(0, 0.012, 4)
                    rows.append(
                        {
                            "variant": variant,
                            "protocol": protocol,
                            "seed": seed,
                            "fold": 0,
                            "epoch": epoch,
                        }
                        | {"train_loss": 1.6 * (1 - fit) + 0.05 + abs(noise[0])}
                        | {"train_accuracy": min(fit + noise[1], 1)}
                        | {"val_loss": 1.6 * (1 - fit) + 0.05 + 4 * gap + abs(noise[2])}
                        | {"val_accuracy": min(fit - gap + noise[3], 1), "seconds": 4.1}
                    )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def paths() -> pd.DataFrame:
    rng, tables = np.random.default_rng(2), []
    steps = np.arange(200)
    for protocol in PROTOCOLS:
        for seed in (0, 1):
            walk = rng.normal(size=(4, len(steps))).cumsum(axis=1)
            noise = rng.standard_t(2, size=(3, len(steps)))
            tracked = {
                ("blend", "alpha"): 0.5 - 0.002 * steps + 0.004 * walk[0],
                ("adaptive_blend", "alpha_mean"): 0.5 - 0.001 * steps + 0.003 * walk[1],
                ("adaptive_blend", "alpha_sd"): 0.05 + 0.0002 * steps,
                ("learnable_canny", "low"): 50 + walk[1],
                ("learnable_canny", "high"): 150 + 2 * walk[2],
                ("learnable_canny", "sigma"): 1.4 + 0.02 * walk[3],
                ("learnable_canny", "gradient_low"): 1e-3 * noise[0],
                ("learnable_canny", "gradient_high"): 1e-3 * noise[1],
                ("learnable_canny", "gradient_sigma"): 0.1 * noise[2],
            }
            for (variant, name), value in tracked.items():
                run = {"variant": variant, "protocol": protocol, "seed": seed, "name": name}
                tables.append(
                    pd.DataFrame(run | {"step": steps, "epoch": steps // 20, "value": value})
                )
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="session")
def runs() -> pd.DataFrame:
    rows = [
        {
            "variant": variant,
            "protocol": protocol,
            "seed": seed,
            "fold": 0,
            "key": f"{i}{j}{seed}a4",
        }
        | {"epochs": 12, "best_epoch": 9, "seconds_per_epoch": 4 + 0.3 * i + 0.1 * seed}
        | {"training_seconds": 12 * (4 + 0.3 * i + 0.1 * seed), "parameters": 1_234_567}
        | {"precision": "bf16-mixed", "channels_last": True, "device": "cpu", "hardware": "EPYC"}
        for i, variant in enumerate(VARIANTS)
        for j, protocol in enumerate(PROTOCOLS)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def manifest() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    labels = rng.choice(CLASSES, size=400, p=[0.3, 0.1, 0.25, 0.15, 0.2])
    domain = rng.choice(["giemsa", "wright", None], size=400, p=[0.6, 0.3, 0.1])
    status = rng.choice(["ok", "truncated"], size=400, p=[0.97, 0.03])
    return pd.DataFrame({"label": labels, "domain": domain, "status": status})


@pytest.fixture(scope="session")
def published() -> dict:
    return {
        "normal": {"accuracy": "0.9880", "log_loss": 4.0469},
        "blend": {"accuracy": [0.9907, 0.9993], "log_loss": 0.0565, "epoch_time_ratio": 3.24},
    }
