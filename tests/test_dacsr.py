"""DACSR's figures, drawn from numbers that a person can check."""

import numpy as np
import pandas as pd
import pytest
from reprise.config import Config
from reprise.papers import load_paper
from reprise.reporting.plots import draw
from reprise.reporting.results import Results
from reprise.reporting.tidy import SHOWN, typed

PAPER = load_paper("dacsr")
LEVEL = {"recall": 0.2, "mrr": 0.1, "ckl": 0.6}


def drawn(name, values):
    """The figure of one seed on ML-1M under `sound`; `values` gives (metric, k, group, value) of a row's label."""
    known = Results(PAPER, Config(), typed(pd.DataFrame(columns=SHOWN)))
    rows = []
    for label in PAPER.figures[name].methods:
        method, variant = known.row(label, "ml-1m", "sound")
        rows += [{"dataset": "ml-1m", "reading": "sound", "method": method, "variant": variant, "seed": 1,
                  "metric": metric, "k": k, "group": group, "value": value, "data": "recovered", "date": "2026-11-28"}
                 for metric, k, group, value in values(label)]
    frame = typed(pd.DataFrame(rows, columns=SHOWN))
    return draw(name, Results(PAPER, Config(), frame))


def curves(axes):
    """Every line of a panel, by its label: the points that it joins."""
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines() if len(line.get_xdata()) > 1}
    return {label: {round(x, 4): round(y, 4) for x, y in points} for label, points in lines.items()}


def test_figure3_draws_each_metric_of_both_methods_against_lambda():
    def values(label):
        method, settings = PAPER.row(label)
        sign = 1 if method == "DACSR" else -1
        return [(metric, 20, "", level + sign * settings["weight"] / 10) for metric, level in LEVEL.items()]

    drawing = drawn("figure3", values)
    panels = {axes.get_ylabel(): curves(axes) for axes in drawing.figure.axes}
    weights = [w / 10 for w in range(1, 11)]
    assert panels == {
        label: {method: {w: round(LEVEL[metric] + sign * w / 10, 4) for w in weights}
                for method, sign in (("DACSR", 1), ("CaliRec", -1))}
        for label, metric in (("Recall@20", "recall"), ("MRR@20", "mrr"), ("CKL@20", "ckl"))}
    # Of the paper's curves two points are printed as numbers, in Table 2, which has lambda = 0.5.
    rings = {line.get_label(): line.get_xydata().tolist() for line in drawing.figure.axes[0].get_lines()
             if len(line.get_xdata()) == 1}
    assert rings == {"paper, Table 2: DACSR": [[0.5, 0.3844]], "paper, Table 2: CaliRec": [[0.5, 0.3616]]}


def test_figure3_gives_a_method_one_colour_whatever_has_run():
    """Of DACSR one point has run, of CaliRec all: it comes first by lambda, and must not take DACSR's colour."""
    def colours(weights):
        def values(label):
            method, settings = PAPER.row(label)
            return [(metric, 20, "", level) for metric, level in LEVEL.items()
                    if method == "CaliRec" or settings["weight"] in weights]

        lines = drawn("figure3", values).figure.axes[0].get_lines()
        return {line.get_label(): line.get_color() for line in lines if line.get_label() in ("DACSR", "CaliRec")}

    few, all_of_them = colours([0.5]), colours([w / 10 for w in range(1, 11)])
    assert few == all_of_them and len(set(few.values())) == 2


def test_figure4_has_an_axis_each_for_calibration_and_accuracy():
    def values(label):
        tau = PAPER.row(label)[1]["temperature"]
        return [("ckl", 20, "", 0.5 + tau / 10), ("mrr", 20, "", 0.2 - tau / 20)]

    left, right = drawn("figure4", values).figure.axes
    taus = [t / 4 for t in range(1, 9)]
    assert left.get_xlabel() == "τ, temperature"
    assert curves(left) == {"CKL@20 (left axis)": {t: round(0.5 + t / 10, 4) for t in taus}}
    assert curves(right) == {"MRR@20 (right axis)": {t: round(0.2 - t / 20, 4) for t in taus}}


def test_figure5_stands_lists_beside_histories_rank_by_rank():
    shares = {"SASRec": 0.5, "CaliRec": 0.6, "DACSR": 0.7}

    def values(label):
        for rank in range(1, 6):
            yield "history_share", None, f"attribute{rank}", 0.8 / 2**rank
            yield "list_share", 20, f"attribute{rank}", shares[label] / 2**rank

    (axes,) = drawn("figure5", values).figure.axes
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in axes.containers if len(bars) == 5}
    assert heights == {name: pytest.approx([level / 2**rank for rank in range(1, 6)]) for name, level in
                       [("histories", 0.8), *((f"lists of {method}", share) for method, share in shares.items())]}
    assert np.allclose(axes.get_xticks(), [1, 2, 3, 4, 5])


def test_a_figure_without_a_run_says_so():
    drawing = draw("figure3", Results(PAPER, Config(), typed(pd.DataFrame(columns=SHOWN))))
    assert not drawing.figure.axes
    assert [text.get_text() for text in drawing.figure.texts] == ["not run: no run at hand"]
