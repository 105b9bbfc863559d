import pytest
import torch
from tiny_joint import TinyJoint

from wbc_pipeline.models import build_network
from wbc_pipeline.training import devices
from wbc_pipeline.training.options import TrainerOptions

CPU = torch.device("cpu")


def test_auto_finds_a_device():
    assert devices.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named():
    with pytest.raises(ValueError, match="device=cpu"):
        devices.choose_device("cuda")


def test_more_devices_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3})
    devices.check_devices(TrainerOptions(devices=2), torch.device("cpu"))
    with pytest.raises(ValueError, match="asks for 64 devices, but this machine has 2 CPU cores"):
        devices.check_devices(TrainerOptions(devices=64), torch.device("cpu"))


def test_more_devices_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="asks for 2 devices, but this machine has 1 GPU"):
        devices.check_devices(TrainerOptions(devices=2), torch.device("cuda"))


def probe(monkeypatch, speeds, *, bfloat16=True):
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: bfloat16)
    monkeypatch.setattr(
        devices,
        "_images_per_second",
        lambda network, precision, channels_last, **rest: speeds[precision, channels_last],
    )
    return devices.probe_precision(
        lambda: None, image_size=16, batch_size=4, device=torch.device("cpu")
    )


def test_the_fastest_precision_is_chosen(monkeypatch):
    speeds = {
        ("32-true", False): 100.0,
        ("32-true", True): 110.0,
        ("bf16-mixed", False): 150.0,
        ("bf16-mixed", True): 200.0,
    }
    choice = probe(monkeypatch, speeds)
    assert (choice["precision"], choice["channels_last"]) == ("bf16-mixed", True)


def test_a_gain_within_noise_keeps_plain_float32(monkeypatch):
    speeds = {
        ("32-true", False): 100.0,
        ("32-true", True): 101.0,
        ("bf16-mixed", False): 105.0,
        ("bf16-mixed", True): 90.0,
    }
    choice = probe(monkeypatch, speeds)
    assert (choice["precision"], choice["channels_last"]) == ("32-true", False)


def test_a_processor_without_bfloat16_is_not_asked_for_it(monkeypatch):
    plain = {("32-true", False): 100.0, ("32-true", True): 120.0}
    choice = probe(monkeypatch, plain, bfloat16=False)
    assert (choice["precision"], choice["channels_last"]) == ("32-true", True)


@pytest.mark.parametrize(
    ("found", "expected"),
    [({"avx2": True, "amx_bf16": False}, False), ({"amx_bf16": True}, True), ({}, True)],
)
def test_processors_with_bfloat16_are_known_by_their_instructions(monkeypatch, found, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert devices.has_bfloat16(CPU) is expected
    assert devices.has_bfloat16(torch.device("cuda"))


@pytest.mark.parametrize("segments", [True, False])
def test_joint_networks_are_probed(segments):
    choice = devices.probe_precision(
        lambda: TinyJoint(segments=segments),
        image_size=16,
        batch_size=2,
        device=torch.device("cpu"),
        steps=1,
    )
    assert len(choice["images_per_second"]) == (4 if devices.has_bfloat16(CPU) else 2)


def test_the_probe_runs_for_real():
    choice = devices.probe_precision(
        lambda: build_network("blend_cnn", {"classes": 2, "image_size": 16}, seed=0),
        image_size=16,
        batch_size=4,
        device=torch.device("cpu"),
        steps=1,
    )
    assert len(choice["images_per_second"]) == (4 if devices.has_bfloat16(CPU) else 2)
    assert min(choice["images_per_second"].values()) > 0
