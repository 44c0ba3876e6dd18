"""Training for a day: two predictors, a static baseline and the size hint, sealed as one model.

A model is trained as of an aligned session before the day, so that which model serves a day is
a function of the day and not of what happened to run before it.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridnb.app.context import Context
from hybridnb.app.drifting import training_end
from hybridnb.app.predicting import predicted
from hybridnb.app.progress import Say, timed
from hybridnb.canonical import plain, sha256
from hybridnb.domain import Bucket
from hybridnb.errors import Refused
from hybridnb.learning.hint import Hint
from hybridnb.learning.labels import forward_up
from hybridnb.learning.predictors import Fitted, load
from hybridnb.learning.walkforward import OutOfFold, out_of_fold
from hybridnb.market.assemble import digest
from hybridnb.market.features import FEATURES
from hybridnb.registry.artifacts import open_sealed, seal

Floats = NDArray[np.float64]
NAMES = ("short", "mid", "baseline")
TRADED = (Bucket.PENNY, Bucket.FNO, Bucket.CORE)


@dataclass(frozen=True)
class Model:
    """A sealed model: everything a session needs of a training.

    Attributes
    ----------
    version : str
        Digest of the arrays and parameters of all parts.
    trained_to : str
        Last session whose bars the training saw.
    meta : mapping
        Folds, losses and learning curve, for reports.
    reused : bool
        It was there already.
    """

    version: str
    trained_to: str
    meta: Mapping[str, Any]
    files: Mapping[str, bytes]
    reused: bool

    @cached_property
    def hint(self) -> Hint:
        return Hint.from_bytes(self.files["hint"])

    def predictor(self, name: str) -> Fitted:
        """One fitted predictor."""
        return load(self.meta["kinds"][name], self.files[name])

    def raw(self, name: str, features: pd.DataFrame, *, without: Sequence[str] = ()) -> Floats:
        """Outputs of one predictor for every row of `features`, shape (rows,).

        Out of fold through `trained_to`, from the final model after it.

        Parameters
        ----------
        without : sequence of str
            Features that say nothing in the last session and after `trained_to`: each has its
            median through `trained_to` in every session.
        """
        known = np.load(io.BytesIO(self.files[f"{name}_raw"]))
        seen = (features["session"] <= pd.Timestamp(self.trained_to)).to_numpy()
        out = np.full(len(features), np.nan)
        out[seen] = known
        late = ~seen
        if without:
            late |= (features["session"] == features["session"].max()).to_numpy()
            quiet = {f: features.loc[seen, f].median() for f in without}
            features = features.assign(**quiet)
        if late.any():
            out[late] = np.asarray(self.predictor(name).predict(features))[late]
        return out


def trained_to(context: Context) -> pd.Timestamp:
    """The last aligned session before the day: its ordinal is a multiple of `retrain_every`.

    Raises
    ------
    Refused
        When no symbol may be traded, or the history before the day is too short to train on.
    """
    instruments = context.market.instruments
    names = sorted(context.market.bars["symbol"].unique())
    if not any(instruments[s].bucket in TRADED for s in names):
        raise Refused(
            f"no symbol of {context.market.source} has a class that may be traded:"
            f" {', '.join(names[:10])}",
            remedy="List them as core in params/policy.yml, or give each a bucket in symbols.yml.",
        )
    before = context.aligned
    if len(before) == 0 or len(context.sessions) < 300:
        raise Refused(
            f"{len(context.sessions)} sessions up to {context.session} are too few to train on",
            remedy="Give at least 300 sessions of bars before the day.",
        )
    return pd.Timestamp(context.sessions[before[-1]])


def model_key(context: Context, to: pd.Timestamp) -> str:
    """What a training is a function of, as 16 hexadecimal digits."""
    bars = context.market.bars
    learning = context.learning.model_dump(mode="json")
    policy = context.settings.policy.id
    seen = digest(bars[bars["session"] <= to])
    day = context.settings.day
    chosen = [context.seed, day.holdout, day.drift_blocks_training]
    return sha256([seen, context.feature_set, plain(learning), policy, *chosen])[:16]


def model_folder(context: Context, to: pd.Timestamp) -> Path:
    """Where the model of the day is or will be sealed."""
    return context.home.folder("models") / model_key(context, to)


def find_model(context: Context) -> Model:
    """The sealed model that serves the day.

    Raises
    ------
    Refused
        When it wasn't trained yet.
    """
    to = trained_to(context)
    folder = model_folder(context, to)
    if not folder.is_dir():
        raise Refused(
            f"no model is trained for {context.session}",
            remedy="Run the training notebook first, or `hybridnb day`.",
        )
    return _opened(folder, reused=True)


def train(context: Context, say: Say) -> Model:
    """Train what serves the day, or find it trained; resumes where a killed training stopped."""
    to = trained_to(context)
    folder = model_folder(context, to)
    if folder.is_dir():
        say(f"model of {to:%Y-%m-%d} is trained already")
        return _opened(folder, reused=True)
    end = training_end(context, to, say)
    source = model_folder(context, end)
    if reused := source.is_dir():
        say(f"model of {end:%Y-%m-%d} is trained already")
    else:
        _train(context, end, source, say)
    if source != folder:  # the same bytes serve this day too
        meta, files = open_sealed(source)
        seal(folder, files, meta)
    return _opened(folder, reused=reused)


def _train(context: Context, to: pd.Timestamp, folder: Path, say: Say) -> None:
    with context.home.locked(f"training-{folder.name}"):
        checkpoint = context.home.folder(f"checkpoints/{folder.name}")
        files, meta = _fitted(context, to, checkpoint, say)
        seal(folder, files, meta)
        for left in sorted(checkpoint.glob("**/*"), reverse=True):
            left.unlink() if left.is_file() else left.rmdir()
        checkpoint.rmdir()


def _opened(folder: Path, *, reused: bool) -> Model:
    meta, files = open_sealed(folder)
    return Model(meta["version"], meta["trained_to"], meta, files, reused)


def _fitted(
    context: Context, to: pd.Timestamp, checkpoint: Path, say: Say
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files and meta of a model trained on the sessions through `to`."""
    from hybridnb.app.hinting import train_hint

    frame, bars = _until(context.features, to), _until(context.market.bars, to)
    params, found = context.learning, {}
    for name in NAMES:
        which: Any = "short" if name == "baseline" else name
        horizon = (params.short if which == "short" else params.mid).horizon
        with timed(f"train {name}", say):
            found[name] = out_of_fold(
                frame[["symbol", "session", *FEATURES]],
                forward_up(bars, horizon),
                params=params,
                which=which,
                horizon=horizon,
                seed=context.seed,
                family="boosting" if name == "baseline" else None,
                checkpoint=checkpoint / name,
                say=say,
            )
    part = predicted(context, frame, {n: found[n].raw for n in NAMES}, bars=bars)
    with timed("train the size hint", say):
        hint = train_hint(context, to, part, checkpoint=checkpoint / "hint", say=say)
    return _files(found, hint), _meta(found, hint, to)


def _files(found: Mapping[str, OutOfFold], hint: Hint) -> dict[str, bytes]:
    files = {"hint": hint.to_bytes()}
    for name, result in found.items():
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(result.raw, np.float64))
        files[name] = result.model.to_bytes()
        files[f"{name}_raw"] = buffer.getvalue()
    return files


def _meta(found: Mapping[str, OutOfFold], hint: Hint, to: pd.Timestamp) -> dict[str, Any]:
    parts = {n: [r.model.digest(), sha256(np.asarray(r.raw).tobytes())] for n, r in found.items()}
    return {
        "version": sha256([parts, hint.digest()])[:16],
        "trained_to": to.strftime("%Y-%m-%d"),
        "kinds": {n: r.model.name for n, r in found.items()},
        "digests": parts | {"hint": hint.digest()},
        "folds": {n: json.loads(r.folds.to_json(orient="records")) for n, r in found.items()},
        "losses": {n: plain(list(r.losses)) for n, r in found.items()},
        "learning_curve": plain(list(hint.curve)),
    }


def _until(frame: pd.DataFrame, to: pd.Timestamp) -> pd.DataFrame:
    return frame[frame["session"] <= to].reset_index(drop=True)


def predictions(context: Context, model: Model, *, without: tuple[str, ...] = ()) -> pd.DataFrame:
    """What the blend and Kelly read, for every session of the context; computed once.

    Features in `without` say nothing in the last session.

    Returns
    -------
    DataFrame
        Columns symbol, session, short_raw, mid_raw, baseline_raw, p_short and p_mid (conviction:
        rank among the predictor's own earlier outputs), win_long and win_short (calibrated
        probability of the target before the stop). NaN where the history is too short.
    """
    made_of = [model.version, context.market.digest, context.settings.policy.id, *without]
    key = sha256(made_of)[:16]
    path = context.home.folder("predictions") / f"{key}.parquet"
    if path.is_file():
        return pd.read_parquet(path)
    features = context.features[["symbol", "session", *FEATURES]]
    raw = {name: model.raw(name, features, without=without) for name in NAMES}
    found = predicted(context, context.features, raw, bars=context.market.bars)
    fresh = path.with_suffix(f".{os.getpid()}")
    found.to_parquet(fresh, index=False)
    os.replace(fresh, path)
    return found
