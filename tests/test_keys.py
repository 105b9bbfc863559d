import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wbc_pipeline
from wbc_pipeline import keys
from wbc_pipeline.imaging import cell_mask
from wbc_pipeline.models import network_class
from wbc_pipeline.models.blend_cnn import BlendCNN

PACKAGE = Path(wbc_pipeline.__file__).parent


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """A copy of the package's files, and a function that changes one and digests anew."""
    shutil.copytree(PACKAGE, tmp_path / "wbc_pipeline", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(keys, "_ROOT", tmp_path / "wbc_pipeline")

    def change(file, old, new, *objects):
        path = tmp_path / "wbc_pipeline" / file
        text = path.read_text()
        assert old in text
        keys._definitions.cache_clear()
        keys.file_of.cache_clear()
        before = keys.code_digest(*objects)
        path.write_text(text.replace(old, new))
        keys._definitions.cache_clear()
        after = keys.code_digest(*objects)
        return {name for name in before | after if before.get(name) != after.get(name)}

    yield change
    keys._definitions.cache_clear()
    keys.file_of.cache_clear()


def test_order_of_keys_does_not_matter():
    assert keys.digest({"a": 1, "b": [2, 3]}) == keys.digest({"b": [2, 3], "a": 1})


def test_another_value_gives_another_digest():
    assert keys.digest({"alpha": 0.5}) != keys.digest({"alpha": 0.6})


def test_code_follows_imports_within_the_package(changed):
    assert changed("models/normal_cnn.py", "nn.ReLU", "nn.GELU", BlendCNN) == {
        "models/normal_cnn.py"
    }


def test_a_constant_of_another_module_counts(changed):
    line = next(
        line
        for line in (PACKAGE / "imaging/roi.py").read_text().splitlines()
        if line.startswith("NUCLEUS")
    )
    assert changed("imaging/roi.py", line, "NUCLEUS = None", cell_mask) == {"imaging/roi.py"}


def test_how_files_are_read_counts_for_what_is_made_of_them():
    from wbc_pipeline.imaging.chain import chain_code
    from wbc_pipeline.imaging.views import FileImages

    assert "imaging/reading.py" in chain_code([{"resize": {"size": 8}}], FileImages)


def test_comments_docstrings_annotations_and_formatting_do_not_count(changed):
    text = (PACKAGE / "models/blend_cnn.py").read_text()
    docstring = ast.get_docstring(ast.parse(text))
    file = "models/blend_cnn.py"
    assert changed(file, docstring, "Another text.", BlendCNN) == set()
    assert changed(file, "\nclass ", "\n# a comment\n\n\nclass ", BlendCNN) == set()
    assert changed(file, ": Tensor", ": 'Tensor'", BlendCNN) == set()


def test_what_is_not_used_does_not_count(changed):
    file = "models/normal_cnn.py"
    text = (PACKAGE / file).read_text()
    assert changed(file, text, text + "\n\nUNUSED = 1\n", BlendCNN) == set()


def test_a_registry_does_not_count(changed):
    line = '    "le_net": "wbc_pipeline.models.le_net:LeNet",\n'
    assert changed("models/__init__.py", line, "", network_class) == set()


def test_code_does_not_depend_on_what_is_loaded():
    code = (
        "from wbc_pipeline.models.blend_cnn import BlendCNN; {}"
        "from wbc_pipeline.keys import code_digest; print(code_digest(BlendCNN))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code.format(more)], capture_output=True, text=True, check=True
        ).stdout
        for more in ("", "import wbc_pipeline.models.mask_rcnn, wbc_pipeline.training.fit; ")
    }
    assert len(digests) == 1


def test_a_change_is_explained_in_words():
    before = {"params": {"train": {"epochs": 8}}, "data": {"rows": "a"}, "code": {}}
    after = {"params": {"train": {"epochs": 30}}, "data": {"rows": "b"}, "code": {"x.py": "1"}}
    assert keys.explain_change(before, after) == [
        "train.epochs 8 → 30",
        "data of rows",
        "code of x.py",
    ]
