import pytest

from wbc_pipeline.sources.annotations.voc import AnnotationError, read, read_annotation

OBJECT = "<object><name>{}</name><bndbox>{}</bndbox></object>"
LAUGHS = "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10)
)  # 10^9 times "ha"


def annotation(name="WBC", before="", **sides):
    sides = {"xmin": "1", "ymin": "2", "xmax": "3.5", "ymax": "4"} | sides
    box = "".join(f"<{side}>{text}</{side}>" for side, text in sides.items() if text is not None)
    return f"{before}<annotation>{OBJECT.format(name, box)}</annotation>"


def read_text(tmp_path, text):
    (tmp_path / "cell.xml").write_text(text)
    return read_annotation(tmp_path / "cell.xml")[1]


def test_objects_have_lower_case_names_and_boxes_in_pixels(tmp_path):
    assert read_text(tmp_path, annotation()) == [("wbc", 1.0, 2.0, 3.5, 4.0)]


def test_a_point_is_no_box(tmp_path):
    assert read_text(tmp_path, annotation(xmax="1", ymax="2")) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not well-formed XML"),
        ("<annotation><object>", "not well-formed XML"),
        ("<html></html>", "no VOC annotation but <html>"),
        (annotation(before='<?xml version="1.0" encoding="klingon"?>'), "not well-formed XML"),
        (annotation(name=""), "object 1 has no name"),
        (annotation(xmax=None), r"object 1 \(wbc\) has no xmax"),
        (annotation(xmax="wide"), r"object 1 \(wbc\): xmax is no number: 'wide'"),
        (annotation(ymin="nan"), "ymin is no number"),
        (annotation(ymax="inf"), "ymax is no number"),
        (annotation(xmin="9"), "has a box without area: 9, 2, 3.5, 4"),
        (annotation(xmax="1"), "has a box without area: 1, 2, 1, 4"),
    ],
)
def test_what_tells_no_boxes_is_refused_with_file_and_reason(text, reason, tmp_path):
    with pytest.raises(AnnotationError, match=rf"cell\.xml: .*{reason}"):
        read_text(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"gone\.xml: No such file"):
        read_annotation(tmp_path / "gone.xml")


def test_a_billion_laughs_are_not_expanded(tmp_path):
    bomb = annotation(name="&l9;", before=f"<!DOCTYPE annotation [{LAUGHS}]>")
    with pytest.raises(AnnotationError, match=r"cell\.xml: brings a document type of its own"):
        read_text(tmp_path, bomb)


def test_an_external_entity_is_not_read(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    entity = f'<!DOCTYPE annotation [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'
    with pytest.raises(AnnotationError, match="document type of its own") as error:
        read_text(tmp_path, annotation(name="&x;", before=entity))
    assert "secret" not in str(error.value)


def test_a_width_of_0_and_a_wrong_file_name_are_ignored(tmp_path):
    size = "<filename>other.png</filename><size><width>0</width><height>480</height></size>"
    text = annotation().replace("<annotation>", f"<annotation>{size}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/cell.xml").write_text(text)
    [found] = read(tmp_path)
    assert (found.image, found.size, found.problem) == ("sub/cell", None, None)
    assert found.boxes == [("wbc", 1.0, 2.0, 3.5, 4.0)]


def test_the_declared_size_is_read(tmp_path):
    size = "<size><width>640</width><height>480</height></size>"
    (tmp_path / "cell.xml").write_text(annotation().replace("<annotation>", f"<annotation>{size}"))
    assert read(tmp_path)[0].size == (640, 480)


def test_a_bad_file_is_a_problem_of_its_image_alone(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation>")
    (tmp_path / "b.xml").write_text(annotation())
    first, second = read(tmp_path)
    assert first.problem.startswith("annotation unusable: a.xml: not well-formed XML")
    assert second.problem is None
