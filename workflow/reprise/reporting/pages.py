"""The scorecard as a page: HTML that needs nothing else, and Markdown."""

from __future__ import annotations

from typing import Any

from reprise.evaluation.aa import TESTS
from reprise.reporting import rendering, wording
from reprise.reporting.scorecard import CLAIM_WORDS, NUMBER_WORDS, Section

TITLES = ("Welch over seeds (decides)", "interval over seeds and users (decides)",
          "paired t over one seed's users (shown)", "Wilcoxon over one seed's users (shown)")  # of `TESTS`


def false_alarms(study: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The A/A study that `python -m reprise aa` wrote, as rows: metric, test, rate with its bounds, where it lies."""
    return [
        (
            wording.metric_label(*name.split("@")),
            title,
            f"{found[test]:.1%} ({found['low']:.1%} to {found['high']:.1%} in {found['pairs']} pairs)",
            found["verdict"][test],
        )
        for name, found in study.get("metrics", {}).items()
        for test, title in zip(TESTS, TITLES, strict=True)
    ]


def html(sections: list[Section], study: dict[str, Any]) -> str:
    """Render the page: styles and figures inside, no script, nothing fetched."""
    return (
        rendering.templates()
        .get_template("scorecard.html.j2")
        .render(sections=sections, number_words=NUMBER_WORDS, claim_words=CLAIM_WORDS, alarms=false_alarms(study))
    )


def markdown(sections: list[Section], study: dict[str, Any]) -> str:
    """Render the same as Markdown, for a terminal or a pull request; figures, orders and costs are left to the page."""
    lines = ["# Scorecard", ""]
    if alarms := false_alarms(study):
        heads = ["metric", "test", "called a method different from itself", "at a level of 5 %"]
        lines += [*rendering.markdown_table(heads, alarms), ""]
    for one in sections:
        lines += [f"## {one.paper.title}", "", f"{one.paper.authors}. {one.paper.venue}. <{one.paper.url}>", ""]
        lines += [f"- **{name}**: {reading.about}" for name, reading in one.paper.readings.items()] + [""]
        if one.methods:
            lines += ["Methods:", "", *(f"- {name}: {about}" for name, about in one.methods.items()), ""]
        lines += [
            *_count_lines("Printed numbers", one.counts, NUMBER_WORDS),
            *_count_lines("Claims", one.claim_counts, CLAIM_WORDS),
        ]
        for sheet in one.sheets:
            lines += [rendering.markdown(sheet), ""]
        lines += [
            "### Verdicts",
            "",
            *rendering.markdown_table(
                [
                    "cell",
                    "reading",
                    "printed",
                    "ours",
                    "seeds",
                    "deviation",
                    "verdict",
                    "cause",
                    "data",
                    "cost",
                    "command",
                ],
                [
                    [
                        row["cell"],
                        row["reading"],
                        row["printed"],
                        row["ours"],
                        row["seeds"],
                        row["deviation"],
                        _marked(row["verdict"]),
                        row["reason"],
                        row["data"],
                        row["cost"],
                        f"`{row['command']}`",
                    ]
                    for row in one.numbers
                ],
            ),
            "",
        ]
        lines += [f"- {count} numbers not run: {reason}" for reason, count in one.not_run] + [""]
        lines += [
            "### Claims",
            "",
            *rendering.markdown_table(
                ["claim", "reading", "verdict", "effect", "interval", "effect ratio", "note"],
                [
                    [
                        f"{row['id']} {row['text']}",
                        row["reading"],
                        _marked(row["verdict"]),
                        wording.number(row["effect"]),
                        wording.interval(row["low"], row["high"]),
                        wording.number(row["effect_ratio"], 2),
                        row["reason"],
                    ]
                    for row in one.claims
                ],
            ),
            "",
        ]
        lines += [f"- {count} claims not run: {reason}" for reason, count in one.claims_not_run] + [""]
    return "\n".join(lines).rstrip() + "\n"


def _marked(verdict: str) -> str:
    return f"{wording.SYMBOLS[verdict]} {verdict}"


def _count_lines(title: str, counts: dict[str, dict[str, int]], words: tuple[str, ...]) -> list[str]:
    rows = [[reading, *(str(count[word]) for word in words)] for reading, count in counts.items()]
    return [f"{title}:", "", *rendering.markdown_table(["of", *map(_marked, words)], rows), ""]
