"""The workshop: a student's code is used where it passes, never breaks a lesson, and its pictures are kept."""

import pytest
import torch

from helpers import workshop
from helpers.checks import PASSED, UNFINISHED, WRONG, check, require


def double(x):
    """The course's own."""
    return 2 * x


def triple(x):
    """Another step of the course."""
    return 3 * x


@check("two times")
def doubled(answer):
    require(answer(2) == 4, "twice two is four")


@check("three times")
def tripled(answer):
    require(answer(2) == 6, "three times two is six")


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """What is shown in a fresh notebook."""
    shown = []
    monkeypatch.setattr(workshop, "_steps", {})
    monkeypatch.setattr(workshop, "display", shown.append)
    return shown


def yours(x):
    return x + x if x < 10 else 1 / 0


@pytest.mark.parametrize(
    ("answer", "status", "uses", "words"),
    [
        (yours, PASSED, "yours", "runs on your code"),
        (lambda x: x + 1, WRONG, "ours", "twice two is four The lesson goes on with the course's code"),
        (lambda x: ..., UNFINISHED, "ours", "The lesson goes on with the course's code"),
        (lambda x: 1 / 0, WRONG, "ours", "ZeroDivisionError"),
    ],
    ids=["right", "wrong", "unfinished", "stops"],
)
def test_the_lesson_runs_on_what_passes_and_says_whose_it_is(answer, status, uses, words, said):
    calls = []
    step = workshop.step(answer, doubled, lambda x: calls.append(x) or double(x))
    (verdict,) = said
    assert verdict.status == status
    assert words in verdict.message
    assert step(3) == 6
    assert bool(calls) == (uses == "ours")


def test_a_class_can_be_a_step_too():
    class Scale:
        def __init__(self, by=2):
            self.by = by

    @check("made")
    def made(answer):
        require(answer(5).by == 5, "keep it")

    class Yours(Scale):
        pass

    assert isinstance(workshop.step(Yours, made, Scale)(by=5), Yours)
    assert type(workshop.step(lambda by: None, made, Scale)(by=5)) is Scale


def test_a_solution_is_checked_and_leaves_what_the_student_wrote_in_its_place(said):
    mine = workshop.step(yours, doubled, double)
    assert workshop.solution(double, doubled) is mine
    assert mine.yours is yours
    assert said[-1].status == PASSED
    assert workshop.solution(triple, tripled) is triple  # run alone, it is what the lesson goes on with


def test_whose_code_it_is_can_be_read_from_every_label():
    assert workshop.whose() == "the course's code"
    workshop.step(yours, doubled, double)
    assert workshop.whose() == "your code"
    workshop.step(lambda x: ..., tripled, triple)
    assert workshop.whose() == "your double, and the course's code for the rest"


def test_code_that_passes_its_check_and_stops_later_is_replaced_by_the_courses(capsys):
    step = workshop.step(yours, doubled, double)
    assert workshop.learn(lambda: step(4)) == 8
    assert step.yours is yours
    assert workshop.learn(lambda: step(10)) == 20
    assert "Your code stopped with ZeroDivisionError" in capsys.readouterr().out
    assert workshop.whose() == "the course's code"


def test_code_that_passes_its_check_and_teaches_nothing_is_replaced_too(capsys):
    step = workshop.step(lambda x: 4, doubled, double)
    assert workshop.learn(lambda: step(3), good=lambda found: found == 6) == 6
    assert "has not learned enough" in capsys.readouterr().out


def test_an_error_of_the_course_is_not_hidden():
    step = workshop.step(lambda x: ..., doubled, yours)
    with pytest.raises(ZeroDivisionError):
        workshop.learn(lambda: step(10))


@pytest.mark.parametrize("size", [16, 32])
def test_a_students_pictures_are_labelled_and_kept(size, tmp_path):
    pictures, captions = torch.rand(9, 3, size, size), [f"dog {k}" for k in range(9)]
    folder = tmp_path / "my 漢字" / "gallery"
    shown = workshop.keep("vae", pictures, captions, folder)
    assert "the course's code" in shown.caption
    assert workshop.gallery("vae", folder) is None
    workshop.step(yours, doubled, double)
    shown = workshop.keep("vae", pictures, captions, folder)
    assert shown.caption == "Drawn by your code"
    assert "dog 7" in shown.alt
    kept = workshop.gallery("vae", folder)
    assert torch.allclose(kept, pictures[:8], atol=1 / 255)
    assert [file.name for file in folder.iterdir()] == ["vae.png"]


def test_a_gallery_that_cannot_be_written_or_read_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("no folder")
    workshop.step(yours, doubled, double)
    workshop.keep("vae", torch.rand(8, 3, 16, 16), ["a dog"] * 8, tmp_path / "file")
    (tmp_path / "vae.png").write_bytes(b"no picture")
    assert workshop.gallery("vae", tmp_path) is None


class Grey(torch.nn.Module):
    def sample(self, captions, z=None, rng=None):
        return torch.full((len(captions), 3, 32, 32), 0.5)


def test_the_wall_hangs_a_students_pictures_below_the_courses(tmp_path):
    rng = torch.Generator().manual_seed(0)
    models = {"vae": Grey(), "flow": Grey()}
    bare = workshop.wall(models, rng, tmp_path)
    workshop.step(yours, doubled, double)
    workshop.keep("vae", torch.rand(8, 3, 16, 16), ["a dog"] * 8, tmp_path)
    hung = workshop.wall(models, rng, tmp_path)
    assert "vae, yours" not in bare.alt
    assert hung.alt.index("vae, the course's") < hung.alt.index("vae, yours") < hung.alt.index("flow, the course's")
    assert hung.image.height > 1.4 * bare.image.height


def test_a_lesson_without_a_shipped_model_hangs_what_the_student_drew_or_nothing(tmp_path):
    rng = torch.Generator().manual_seed(0)
    models = {"vae": Grey(), "random_vector": None, "pixel_independence": None}
    bare = workshop.wall(models, rng, tmp_path)
    workshop.step(yours, doubled, double)
    workshop.keep("random_vector", torch.rand(3, 3, 16, 16), ["a dog"] * 3, tmp_path)
    hung = workshop.wall(models, rng, tmp_path)
    assert bare.alt.endswith("Rows: vae, the course's")
    assert hung.alt.endswith("Rows: vae, the course's; random vector, yours")
    assert "models of 1 lessons, and by your code of 1 of them" in hung.alt
    assert hung.image.height > 1.6 * bare.image.height
