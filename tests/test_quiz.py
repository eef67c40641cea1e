"""The questions at both ends of a notebook: complete, fair, and answered without a browser."""

import re

import pytest
from bs4 import BeautifulSoup

from helpers import quiz
from tests.test_notebooks import COURSE

WIDGET = "application/vnd.jupyter.widget-view+json"


def texts(notebook):
    """Everything that is written in the questions of a notebook."""
    for question in quiz.read_closing(notebook):
        yield question.text
        yield from (part for option in question.options for part in (option.text, option.feedback))
    for pair in quiz.read_opening(notebook):
        yield from pair


def test_every_notebook_of_the_course_has_questions_and_nobody_else():
    assert sorted(path.stem for path in quiz.QUESTIONS.glob("*.toml")) == COURSE


@pytest.mark.parametrize("notebook", COURSE)
def test_there_are_as_many_questions_as_promised(notebook):
    assert len(quiz.read_opening(notebook)) == 3
    assert 3 <= len(quiz.read_closing(notebook)) <= 5


@pytest.mark.parametrize("notebook", COURSE)
def test_one_option_is_right_and_each_of_the_others_has_a_feedback_of_its_own(notebook):
    for question in quiz.read_closing(notebook):
        assert sum(option.right for option in question.options) == 1
        assert 3 <= len(question.options) <= len(quiz.LETTERS)
        assert len({option.text for option in question.options}) == len(question.options)
        assert len({option.feedback for option in question.options}) == len(question.options)
        assert all(option.feedback.startswith("Yes") is option.right for option in question.options)
        assert all(len(option.feedback) > 20 for option in question.options)


@pytest.mark.parametrize("notebook", COURSE)
def test_neither_length_nor_place_gives_the_right_option_away(notebook):
    questions = quiz.read_closing(notebook)
    right = [next(option for option in question.options if option.right) for question in questions]
    longest = [max(question.options, key=lambda option: len(option.text)) for question in questions]
    assert right != longest
    assert len({question.options.index(option) for question, option in zip(questions, right, strict=True)}) > 1


@pytest.mark.parametrize("notebook", COURSE)
def test_mathematics_and_code_are_closed_where_they_are_opened(notebook):
    for text in texts(notebook):
        assert text.count("$") % 2 == text.count("`") % 2 == 0, text
        outside = re.sub(r"\$[^$]*\$|`[^`]*`", "", text)
        assert not re.search(r"[\\_*<]", outside), f"markup that nobody reads: {text}"


@pytest.fixture
def small():
    right, wrong = quiz.Option("$a < b$", "Yes: `a` is less.", right=True), quiz.Option("c", "No.", right=False)
    return quiz.Quiz([quiz.Question("Which & why?", (wrong, right)), quiz.Question("Again?", (right, wrong))])


def test_a_choice_is_answered_and_counted(small):
    assert all(reply.value == '<div role="status"></div>' for reply in small.replies)
    small.choices[0].value = "A"
    assert "✗ Not this one.</b> No." in small.replies[0].value
    assert "0 of 2 right" in small.summary.value
    small.choices[0].value = "B"
    assert "✓</b> Yes: <code>a</code> is less." in small.replies[0].value
    assert small.replies[0].value.startswith('<div role="status">')
    assert small.replies[1].value == '<div role="status"></div>'
    small.choices[1].value = "A"
    assert small.right == 2
    assert '<p role="status">2 of 2 right.</p>' in small.summary.value


def test_the_widget_can_be_told_apart_by_ear(small):
    assert [choice.description for choice in small.choices] == ["Answer 1", "Answer 2"]
    assert small.choices[1].tooltips == ("Question 2, answer A", "Question 2, answer B")


def test_without_a_kernel_every_option_unfolds_what_there_is_to_say_to_it(small):
    bundle = small._repr_mimebundle_()
    assert bundle.keys() == {WIDGET, "text/html", "text/plain"}
    page = BeautifulSoup(bundle["text/html"], "html.parser")
    assert [tag.text for tag in page.find_all("summary")] == ["c", "$a < b$", "$a < b$", "c"]
    assert "<summary>$a &lt; b$</summary>" in bundle["text/html"]
    assert not page.find("details", open=True)
    assert page.find_all("details")[1].p.text == "✓ Yes: a is less."
    assert [tag.text for tag in page.select("ol > li > p")] == ["Which & why?", "Again?"]


def test_the_answers_of_the_opening_are_folded_away():
    page = BeautifulSoup(quiz.Opening([("1 < 2?", "Yes.")])._repr_html_(), "html.parser")
    assert page.find("li").p.text == "1 < 2?"
    assert page.find("details").text == "The answerYes."
    assert not page.find("details", open=True)


def test_an_unknown_notebook_is_a_clear_error():
    with pytest.raises(FileNotFoundError, match="13_absent"):
        quiz.closing("13_absent")
