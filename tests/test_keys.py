import sys
import types

from wbc_pipeline import keys
from wbc_pipeline.models.blend_cnn import BlendCNN


def test_order_of_keys_does_not_matter():
    assert keys.digest({"a": 1, "b": [2, 3]}) == keys.digest({"b": [2, 3], "a": 1})


def test_another_value_gives_another_digest():
    assert keys.digest({"alpha": 0.5}) != keys.digest({"alpha": 0.6})


def test_source_digest_follows_imports_within_the_package(monkeypatch):
    before = keys.source_digest(BlendCNN)
    read = keys.inspect.getsource

    def read_changed(module):
        return read(module) + "# changed" * module.__name__.endswith("normal_cnn")

    monkeypatch.setattr(keys.inspect, "getsource", read_changed)
    assert keys.source_digest(BlendCNN) != before


def test_source_digest_ignores_other_packages(monkeypatch):
    module = types.ModuleType("wbc_pipeline.made_up")
    module.torch = sys
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(keys.inspect, "getsource", lambda item: item.__name__)
    assert keys.source_digest(module) == keys.digest({module.__name__: module.__name__})
