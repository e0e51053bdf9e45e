"""Networks of one operation beside networks of the other, in one training (config.other_heads = N > 0).

    L = (K·L_own + N·L_other)/(K + N)          p = (K·p_own + N·p_other)/(K + N)

Where one reads the product of two waves the other reads their sum, so that they err on different texts.
"""

from typing import Any

from layers.networks.configs import OTHER_OPERATION, WaveNetworkConfig
from layers.networks.two_networks import TwoNetworks


def configs_of_operations(config: WaveNetworkConfig) -> tuple[WaveNetworkConfig, WaveNetworkConfig]:
    """The configs of the networks of the operation of `config` and of the other."""
    own = config.replace(other_heads=0)
    return own, own.replace(operation=OTHER_OPERATION[config.operation], heads=config.other_heads)


class BothOperations(TwoNetworks):
    """The network of a WaveNetworkConfig with other heads. own, other: networks of configs_of_operations()."""

    def __init__(self, config: WaveNetworkConfig, own: Any, other: Any) -> None:
        self.config, self.own, self.other = config, own, other

    def networks(self) -> tuple[Any, Any]:
        return self.own, self.other

    def counts(self) -> tuple[int, int]:
        return self.config.heads, self.config.other_heads

    def heading(self) -> str:
        own, other = self.counts()
        return (
            f"Networks side by side, {own} of {self.config.operation} and {other} of "
            f"{OTHER_OPERATION[self.config.operation]}, the mean of their probabilities.\n"
            f"{self.own.heading()}\n{self.other.heading()}"
        )
