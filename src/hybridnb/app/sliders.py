"""The blend under one's fingers, for JupyterLab: sliders in, score and terms out."""

from __future__ import annotations

from typing import Any

from hybridnb.app import figures
from hybridnb.app.records import ACTION_NAMES
from hybridnb.blender import blend, sigmoid
from hybridnb.domain import Mode
from hybridnb.limits import limits
from hybridnb.policy import Policy


def score_of(policy: Policy, *, p_short: float, p_mid: float, hint: float, **facts: float) -> Any:
    """The score of a decision from its terms; `facts` default to calm ones.

    Parameters
    ----------
    p_short, p_mid : float
        In [0, 1].
    hint : float
        Size hint in [−4, 4].
    facts : float
        volatility_z, sentiment, liquidity, correlation, correlation_floor.
    """
    calm = {"volatility_z": 0.0, "sentiment": 0.0, "liquidity": 1.0}
    calm |= {"correlation": 0.6, "correlation_floor": 0.3}
    lim = limits(policy, Mode.DEMO)
    return blend(lim, p_short=p_short, p_mid=p_mid, rl=sigmoid(hint), **(calm | facts))


def picture_of(policy: Policy, **given: float) -> figures.Picture:
    """How the terms add up to the score."""
    score = score_of(policy, **given)
    terms = [("base", score.base)]
    charged = {"volatility": score.volatility, "news": score.news}
    charged |= {"liquidity": score.liquidity, "correlation": score.correlation}
    terms += [(name, -value) for name, value in charged.items() if value]
    action = str(ACTION_NAMES[score.action])
    return figures.waterfall([*terms, ("= score", score.score)], title=action)


def sliders(policy: Policy) -> Any:
    """Sliders for every term; the picture follows them."""
    import ipywidgets as widgets
    from IPython.display import display

    class Sliders(widgets.HBox):  # type: ignore[misc]
        """In a row; where no kernel runs, such as in a report, words stand for them."""

        def __repr__(self) -> str:
            return "Sliders for every term: open this notebook in JupyterLab to move them."

    def slider(name: str, value: float, low: float, high: float) -> Any:
        return widgets.FloatSlider(
            value=value, min=low, max=high, step=0.01, description=name, continuous_update=False
        )

    given = {
        "p_short": slider("p_short", 0.8, 0.0, 1.0),
        "p_mid": slider("p_mid", 0.7, 0.0, 1.0),
        "hint": slider("hint", 0.5, -4.0, 4.0),
        "volatility_z": slider("volatility z", 0.0, -3.0, 5.0),
        "sentiment": slider("sentiment", 0.0, -1.0, 1.0),
    }
    shown = widgets.interactive_output(
        lambda **values: display(picture_of(policy, **values)), given
    )
    return Sliders([widgets.VBox(list(given.values())), shown])
