"""The questions at both ends of a notebook: do I need this, and what has stayed.

They stand in ``quizzes``, a file for each notebook: a right answer each and, for every wrong one, what it overlooks.
``numbers`` in a question is for the tests: where one of its numbers was measured, or why it was not. What is shown
works without a kernel: every answer can be unfolded. With one, the closing questions are a widget.
"""

import dataclasses
import html
import re
import tomllib
from pathlib import Path

import ipywidgets

QUESTIONS = Path(__file__).parent / "quizzes"
LETTERS = "ABCDEF"
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclasses.dataclass(frozen=True)
class Option:
    """An answer to choose: its text, what is said when it is chosen, and whether it is right."""

    text: str
    feedback: str
    right: bool

    @property
    def reply(self) -> str:
        """The feedback as HTML, with a verdict before it."""
        sign, colour = ("✓", "#0b6a0b") if self.right else ("✗ Not this one.", "#a4262c")
        said = f"<b>{sign}</b> {_markup(self.feedback)}"
        return f'<p style="border-left: 4px solid {colour}; padding-left: 0.7em">{said}</p>'


@dataclasses.dataclass(frozen=True)
class Question:
    """A question and its options, in the order of the alphabet, which knows nothing of right and wrong."""

    text: str
    options: tuple[Option, ...]


def read_opening(notebook: str) -> list[tuple[str, str]]:
    """The opening questions of a notebook such as ``"05_vae"``, each with its answer."""
    return [(entry["question"], entry["answer"]) for entry in _read(notebook)["opening"]]


def read_closing(notebook: str) -> list[Question]:
    """The closing questions of a notebook such as ``"05_vae"``."""
    questions = []
    for entry in _read(notebook)["closing"]:
        options = [Option(*entry["right"], right=True), *(Option(*wrong, right=False) for wrong in entry["wrong"])]
        questions.append(Question(entry["question"], tuple(sorted(options, key=lambda option: option.text))))
    return questions


class Opening:
    """Three questions before the lesson, their answers folded away. Shows itself in a notebook."""

    def __init__(self, questions: list[tuple[str, str]]):
        self.questions = questions

    def __repr__(self) -> str:
        return "\n".join(["Do I need this?", *(text for text, _ in self.questions)])

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><p>{_markup(text)}</p><details><summary>The answer</summary><p>{_markup(answer)}</p></details></li>"
            for text, answer in self.questions
        )
        invitation = (
            "<b>Do I need this?</b> Two minutes, on paper or in your head. If you can answer all three, go straight to "
            "the questions at the end."
        )
        return f"<p>{invitation}</p><ol>{items}</ol>"


class Quiz:
    """Closing questions as a widget; without a kernel a list in which every option unfolds.

    ``choices`` are the rows of buttons, one a question, ``replies`` what is said to each choice, ``summary`` how many
    are right, ``view`` all of it together. The buttons are letters, since their labels could not show mathematics.
    """

    def __init__(self, questions: list[Question]):
        self.questions = questions
        self.choices, self.replies, rows = [], [], []
        for number, question in enumerate(questions, start=1):
            letters = LETTERS[: len(question.options)]
            choice = ipywidgets.ToggleButtons(options=list(letters), value=None, description=f"Answer {number}")
            choice.style.button_width = "4em"
            choice.tooltips = [f"Question {number}, answer {letter}" for letter in letters]
            choice.observe(self._update, names="value")
            reply = ipywidgets.HTMLMath()
            self.choices.append(choice)
            self.replies.append(reply)
            listed = "".join(
                f"<br>{letter}. {_markup(option.text)}"
                for letter, option in zip(letters, question.options, strict=True)
            )
            rows += [ipywidgets.HTMLMath(f"<p><b>{number}.</b> {_markup(question.text)}{listed}</p>"), choice, reply]
        self.summary = ipywidgets.HTML()
        self.view = ipywidgets.VBox([ipywidgets.HTML("<b>What has stayed?</b>"), *rows, self.summary])
        self._update()

    @property
    def right(self) -> int:
        """How many questions are answered rightly now."""
        return sum(option is not None and option.right for option in self._chosen())

    def _chosen(self) -> list[Option | None]:
        return [
            question.options[choice.index] if choice.index is not None else None
            for question, choice in zip(self.questions, self.choices, strict=True)
        ]

    def _update(self, _change=None) -> None:
        for reply, option in zip(self.replies, self._chosen(), strict=True):
            said = option.reply if option else ""
            if reply.value != (value := f'<div role="status">{said}</div>'):
                reply.value = value
        self.summary.value = f'<p role="status">{self.right} of {len(self.questions)} right.</p>'

    def __repr__(self) -> str:
        return "\n".join(["What has stayed?", *(question.text for question in self.questions)])

    def html(self) -> str:
        """The questions for readers without a kernel: every option unfolds what there is to say to it."""
        items = ""
        for question in self.questions:
            options = "".join(
                f"<li><details><summary>{_markup(option.text)}</summary>{option.reply}</details></li>"
                for option in question.options
            )
            items += f"<li><p>{_markup(question.text)}</p><ul>{options}</ul></li>"
        invitation = "<b>What has stayed?</b> Choose an answer to each; it unfolds what there is to say to it."
        return f"<p>{invitation}</p><ol>{items}</ol>"

    def _repr_mimebundle_(self, **_) -> dict:
        """The widget, and beside it the list: a frontend takes the first that it can show."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}  # as of ipywidgets 7, Colab's
        return {WIDGET: view, "text/html": self.html(), "text/plain": repr(self)}


def opening(notebook: str) -> Opening:
    """The three questions before the lesson of a notebook such as ``"05_vae"``.

    Raises:
        FileNotFoundError: there is no such notebook.
    """
    return Opening(read_opening(notebook))


def closing(notebook: str) -> Quiz:
    """The questions after the lesson of a notebook such as ``"05_vae"``.

    Raises:
        FileNotFoundError: there is no such notebook.
    """
    return Quiz(read_closing(notebook))


def _read(notebook: str) -> dict:
    return tomllib.loads((QUESTIONS / f"{notebook}.toml").read_text(encoding="utf-8"))


def _markup(text: str) -> str:
    """Text as HTML: what stands in backquotes is code, what stands in dollars is left to the frontend's mathematics."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
