"""A small bank, simulated: traffic that can prove or disprove that frauds stop and familiar life goes on.

>>> from stream.simulate import Bank, SimulationConfig
>>> chunk = next(Bank(SimulationConfig(seed=1, events=10)).transactions())
>>> len(chunk.lines), chunk.truth[0].fraud
(10, 0)
"""

from stream.simulate.bank import Bank, stream
from stream.simulate.bank_config import SimulationConfig
from stream.simulate.payment_record import Event, SimulatedChunk, SimulatedTruth
from stream.simulate.simulated_rows import ATTACKS, KINDS, SCAMS

__all__ = [
    "ATTACKS",
    "KINDS",
    "SCAMS",
    "Bank",
    "Event",
    "SimulatedChunk",
    "SimulatedTruth",
    "SimulationConfig",
    "stream",
]
