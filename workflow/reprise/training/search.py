"""What a search remembers: the best epoch and inference setting so far, and each setting's own best epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from reprise.methods import Setting, setting_name

METRICS = ("hr", "recall", "ndcg", "mrr")  # followed during a search


@dataclass
class Best:
    """The best seen so far; of equal scores that of the later epoch, or of the earlier one (`ties`)."""

    name: str
    ties: str = "earlier"
    score: float = -1.0
    epoch: int = 0
    steps: int = 0
    setting: Setting = field(default_factory=dict)
    stale: int = 0
    own: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)

    def see(
        self,
        epoch: int,
        steps: int,
        measured: list[tuple[Setting, dict[str, float]]],
        choices: list[Setting],
        weights: dict[str, Tensor],
    ) -> tuple[Setting, dict[str, float]]:
        """Take in one evaluation.

        Parameters
        ----------
        measured : list of (setting, metrics)
            Every setting of the sweep with its metrics.
        choices : list of settings
            Those among which the search may choose.

        Returns
        -------
        The best choice of this evaluation, and its metrics.
        """
        for setting, metrics in measured:
            key = setting_name(setting)
            if key and self._beats(metrics[self.name], self.own.get(key, {}).get(self.name, -1.0)):
                self.own[key] = {"epoch": epoch, **metrics}
        setting, metrics = max((pair for pair in measured if pair[0] in choices), key=lambda pair: pair[1][self.name])
        if self._beats(metrics[self.name], self.score):
            self.score, self.epoch, self.steps, self.setting, self.stale = metrics[self.name], epoch, steps, setting, 0
            self.weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        else:
            self.stale += 1
        return setting, metrics

    def _beats(self, score: float, other: float) -> bool:
        return score >= other if self.ties == "later" else score > other

    def state(self) -> dict[str, Any]:
        """Everything but the weights, as JSON values."""
        return {name: value for name, value in vars(self).items() if name != "weights"}
