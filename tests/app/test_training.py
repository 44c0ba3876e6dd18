"""A trained model is a function of its inputs, and what it says of a session never changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hybridnb.app.backtest import held_out, predicted_rows
from hybridnb.app.context import Context, Request, open_day
from hybridnb.app.home import Home
from hybridnb.app.lab import Lab
from hybridnb.app.training import model_key, predictions, train, trained_to
from hybridnb.errors import Refused
from hybridnb.market.features import FEATURES


def silent(text: str) -> None:
    """Nobody reads the progress here."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


def opened(home: Home, session: str) -> Context:
    request = Request(feed="sample", session=session, profile="smoke", seed=3)
    return replace(open_day(request), home=home)


@pytest.fixture(scope="module")
def friday(home: Home) -> Context:
    return opened(home, "2013-03-01")


@pytest.fixture(scope="module")
def thursday(home: Home) -> Context:
    return opened(home, "2013-02-28")


def test_the_training_ends_before_the_day_and_is_aligned(friday: Context) -> None:
    to = trained_to(friday)
    at = friday.sessions.get_indexer_for(pd.DatetimeIndex([to]))[0]
    assert to < pd.Timestamp(friday.session)
    assert friday.ordinals[at] % friday.settings.day.retrain_every == 0
    assert len(friday.sessions) - 1 - at <= friday.settings.day.retrain_every


def test_ordinals_are_those_of_the_exchange_whatever_the_history(
    friday: Context, thursday: Context
) -> None:
    shared = friday.sessions.isin(thursday.sessions)
    assert (friday.ordinals[shared] == thursday.ordinals).all()
    assert (np.diff(friday.ordinals) == 1).all()


def test_trained_once_and_found_again(friday: Context) -> None:
    first, second = train(friday, silent), train(friday, silent)
    assert not first.reused or second.reused
    assert second.reused
    assert first.version == second.version
    assert not list((friday.home.root / "checkpoints").glob("*"))


def test_another_home_trains_the_same_model(
    friday: Context, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = replace(friday, home=Home(tmp_path_factory.mktemp("other")))
    assert train(other, silent).version == train(friday, silent).version


def test_days_of_one_model_agree_on_every_earlier_session(
    friday: Context, thursday: Context
) -> None:
    assert model_key(friday, trained_to(friday)) == model_key(thursday, trained_to(thursday))
    later = predictions(friday, train(friday, silent))
    earlier = predictions(thursday, train(thursday, silent))
    later = later[later["session"] <= earlier["session"].max()].reset_index(drop=True)
    pd.testing.assert_frame_equal(later, earlier, check_exact=True)


def test_predictions_are_kept_exactly(friday: Context) -> None:
    model = train(friday, silent)
    first, kept = predictions(friday, model), predictions(friday, model)
    pd.testing.assert_frame_equal(first, kept, check_exact=True)
    shares = first[["p_short", "p_mid", "win_long", "win_short"]].to_numpy()
    known = shares[np.isfinite(shares)]
    assert len(known) > 1000
    assert ((known >= 0.0) & (known <= 1.0)).all()


def test_features_switched_off_change_late_predictions_only_and_are_not_looked_at(
    friday: Context,
) -> None:
    model = train(friday, silent)
    off = FEATURES  # the smoke profile's trees look at few of them
    whole, without = predictions(friday, model), predictions(friday, model, without=off)
    early = (whole["session"] <= pd.Timestamp(model.trained_to)).to_numpy()
    pd.testing.assert_frame_equal(whole[early], without[early])
    last = (whole["session"] == whole["session"].max()).to_numpy()
    assert (whole.loc[last, "mid_raw"] != without.loc[last, "mid_raw"]).any()
    # Whatever the features say there, the predictions without them are the same.
    lied = friday.features.assign(**{name: friday.features[name] for name in off})
    late = (lied["session"] > pd.Timestamp(model.trained_to)).to_numpy()
    lied.loc[late, list(off)] = 0.9
    told = [model.raw("mid", each, without=off)[last] for each in (friday.features, lied)]
    assert np.array_equal(*told, equal_nan=True)


def taught(context: Context, **asked: object) -> Context:
    """The day again, after a reward engineer's reply to the session that its training ends with."""
    to = trained_to(context)
    at = context.sessions.get_indexer_for(pd.DatetimeIndex([to]))[0]
    ordinal = int(context.ordinals[at])
    book = f"sample-{context.market.digest[:8]}"
    reply = {
        "reward_coefficients": {"returns": 0.5, "turnover": 0.2, "drawdown": 0.3},
        "turnover_penalties": {"penalty_rate": 0.02},
        "disabled_features": [],
    }
    row = {
        "kind": "reply",
        "id": f"{len(asked)}{asked!r}",
        "book": book,
        "call": "REWARD_ENGINEER",
        "reply": reply,
        "taken": True,
        "toggles_frozen": False,
        "from_session": ordinal + 1,
        "expires": ordinal + 6,
    }
    context.ledger().append("operations", [row | asked])
    return opened(context.home, context.session)


def test_an_engineer_s_coefficients_bear_on_the_next_training_and_on_nothing_else(
    friday: Context, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = opened(Home(tmp_path_factory.mktemp("taught")), friday.session)
    assert fresh.learning == friday.learning
    to = trained_to(fresh)
    refused = taught(fresh, taken=False)
    later = taught(fresh, from_session=int(fresh.ordinals[-1]) + 1, expires=10**6)
    assert refused.learning == later.learning == fresh.learning
    found = taught(fresh)
    ppo = found.learning.ppo
    assert (ppo.returns, ppo.turnover, ppo.drawdown) == (0.5, 0.2, 0.3)
    assert ppo.penalty_rate == 0.02
    assert model_key(found, to) != model_key(fresh, to)
    assert found.inputs == fresh.inputs


def test_a_reply_to_a_book_at_a_broker_reaches_the_training_too(
    friday: Context, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fresh = opened(Home(tmp_path_factory.mktemp("broker")), friday.session)
    book = f"sample-{fresh.market.digest[:8]}-ibkr"
    assert taught(fresh, book=book).learning == fresh.learning  # nobody has traded such a book
    row = {"kind": "inputs", "feed": "sample", "broker": "ibkr", "book": book}
    row |= {"session": "2013-02-01", "n": 0, "data_digest": "0"}
    fresh.ledger().append("session", [row])
    assert opened(fresh.home, fresh.session).learning.ppo.returns == 0.5


def test_the_backtest_shares_no_session_with_the_hint_s_training(friday: Context) -> None:
    lab = Lab(friday)
    model = train(friday, silent)
    rows = predicted_rows(lab.panel)
    rows = rows[lab.panel.sessions[rows] <= pd.Timestamp(model.trained_to)]
    cut = int(len(rows) * (1.0 - friday.settings.day.holdout))
    tested = held_out(friday, lab.panel, to=model.trained_to)
    assert not set(rows[:cut]) & set(tested)
    assert len(tested) > 100


def test_a_history_too_short_is_refused(home: Home) -> None:
    with pytest.raises(Refused, match="too few"):
        trained_to(opened(home, "2000-06-01"))
