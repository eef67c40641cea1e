"""The live parts of the lessons. A pure function draws, a widget calls it: so each can be tested without a browser."""

import html
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType

import ipywidgets
import torch

from helpers import figures

ANY = "any"


class CaptionBuilder:
    """Choose what the caption says, and watch the set of right answers shrink.

    Args:
        world: ``helpers.dogs`` or another world with the same interface.
        rng: the source of the details that no attribute fixes.
        size: pixels of each small picture on the wall.

    ``choices`` are the sliders, one for each nameable attribute, ``caption`` the text, ``sentence`` what is
    said about it, ``image`` the wall, ``view`` all of them together. From ``view``, which is all that a notebook shows,
    ``view.live`` leads back here.
    """

    def __init__(self, world: ModuleType, rng: torch.Generator, size: int = 32):
        self._language = world.LANGUAGE
        everything = self._language.captions[0]
        self._drawings = world.draw(world.answers(everything, rng), size)
        # Sliders and not drop-down lists: JupyterLab keeps the keys up and down, which a list needs, for itself.
        self.choices = {
            name: ipywidgets.SelectionSlider(options=(ANY, *values), description=name)
            for name, values in self._language.nameable.items()
        }
        self.sentence = ipywidgets.HTML()
        self.image = ipywidgets.HTML()  # an Image widget would have no alt text
        for choice in self.choices.values():
            choice.observe(self._update, names="value")
        self._update()
        self.view = ipywidgets.VBox(
            [
                ipywidgets.HBox(list(self.choices.values()), layout=ipywidgets.Layout(flex_flow="row wrap")),
                self.sentence,
                self.image,
            ]
        )
        self.view.live = self

    @property
    def caption(self) -> str:
        """The caption that says what is chosen."""
        return self._caption({name: choice.value for name, choice in self.choices.items()})

    def figure(self, **values: str) -> figures.Figure:
        """The wall for one value of every slider, with the sentence as its caption."""
        return figures.answer_wall(self._language, self._drawings, self._caption(values))

    def _caption(self, values: Mapping[str, str]) -> str:
        return self._language.write({name: value for name, value in values.items() if value != ANY})

    def _update(self, _change=None) -> None:
        figure = self.figure(**{name: choice.value for name, choice in self.choices.items()})
        self.sentence.value = f'<span role="status" style="font-size: 1.2em">{figure.caption}</span>'
        figure.caption = ""  # it stands above the wall
        self.image.value = figure.html(compress_level=1)


class Explorer:
    """Move sliders, or type, and see a figure change.

    Args:
        draw: gives the figure for one value of every control, named as in ``choices``; it should take less than a tenth
            of a second. What it says in a ``ValueError`` is shown in place of the figure: not all that can be typed
            can be drawn.
        start: values to begin with; of a control that is not in it, the first.
        typed: texts to be typed, each with some to choose from, by its name. The figure changes when Enter is pressed.
        **choices: the values of each slider, by its name.

    ``choices`` are the controls, ``figure`` is ``draw``, ``image`` what it drew, ``view`` all together. From ``view``,
    which is all that a notebook shows, ``view.live`` leads back here.
    """

    def __init__(
        self,
        draw: Callable[..., figures.Figure],
        start: Mapping | None = None,
        typed: Mapping[str, Sequence[str]] | None = None,
        **choices: Sequence,
    ):
        self.figure = draw
        typed = dict(typed or {})
        begin = {name: values[0] for name, values in (typed | choices).items()} | dict(start or {})
        style = {"description_width": "8em"}
        wide = ipywidgets.Layout(width="36em")
        self.choices = {
            name: ipywidgets.Combobox(
                options=list(values),
                value=begin[name],
                description=name,
                style=style,
                layout=wide,
                continuous_update=False,
            )
            for name, values in typed.items()
        } | {
            name: ipywidgets.SelectionSlider(options=list(values), value=begin[name], description=name, style=style)
            for name, values in choices.items()
        }
        self.image = ipywidgets.HTML()
        for choice in self.choices.values():
            choice.observe(self._update, names="value")
        self._update()
        self.view = ipywidgets.VBox([*self.choices.values(), self.image])
        self.view.live = self

    def _update(self, _change=None) -> None:
        try:
            shown = self.figure(**{name: choice.value for name, choice in self.choices.items()}).html(compress_level=1)
        except ValueError as error:
            shown = f"<p>{html.escape(str(error))}</p>"
        self.image.value = f'<div role="status">{shown}</div>'
