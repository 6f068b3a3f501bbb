"""The picture of which class is taken for which."""

import numpy as np
import pytest

from transavs.visualization.confusion import Confusion, ConfusionError, confusion_figure, read_confusion

TABLE = "true label,background,bell,cow\nbackground,90,10,0\nbell,1,3,0\ncow,0,0,0\n"


def write(path, text):
    path.write_text(text)
    return path


def test_labels_that_occur_are_drawn_in_percent_of_the_true_pixels(tmp_path):
    found = read_confusion(write(tmp_path / "confusion.csv", TABLE))
    assert found.names == ["background", "bell", "cow"] and found.pixels.tolist() == [[90, 10, 0], [1, 3, 0], [0] * 3]
    (axes,) = confusion_figure(found, "title").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["background", "bell"]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "90", (1, 0): "10", (0, 1): "25", (1, 1): "75"}


def test_the_picture_grows_with_the_labels():
    sides = []
    for number in (3, 71):
        found = Confusion([str(label) for label in range(number)], np.eye(number, dtype=np.int64))
        sides.append(confusion_figure(found, "title").get_size_inches()[0])
    assert sides[1] - sides[0] == pytest.approx(68 * 0.24)


@pytest.mark.parametrize(
    "text", ["", "true label,a\n", "true label,a\na,x\n", "true label,a\nb,1\n", "t,a,b\na,1\nb,1,2\n"]
)
def test_what_is_no_table_is_named(tmp_path, text):
    with pytest.raises(ConfusionError, match="confusion.csv: not a confusion.csv of SemanticEvaluator"):
        read_confusion(write(tmp_path / "confusion.csv", text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfusionError, match="none.csv: No such file or directory, expected a confusion.csv"):
        read_confusion(tmp_path / "none.csv")
