"""A day in the life of one service and hundreds of clients, on virtual time, in seconds; the same seed, the same day.

Connections lose segments and break half-way, the network falls apart, clocks differ and jump, programs and the service
crash, the store is slow. All along it is checked that what was acknowledged is delivered, once and in order, that
every send has one verdict, and that in the end all comes to rest (`Simulation`). ``mimc simulate`` runs it;
``docs/how-to/simulate.md`` shows the use.
"""

from .faults import Fault, FaultKind
from .laws import LawBroken
from .picture import draw
from .report import Report, Times
from .scenario import CALM, Scenario
from .simulation import Simulation

__all__ = ["CALM", "Fault", "FaultKind", "LawBroken", "Report", "Scenario", "Simulation", "Times", "draw"]
