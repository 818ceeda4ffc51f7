"""The embedded stack: Redis, an S3 server, workers, the sweeper and Flower on one machine.

from farm.local import embedded_stack

with embedded_stack(folder, slots=2) as stack:
    farm = Farm.from_settings(stack.settings)
"""

from farm.local.background import Stack, down, embedded_stack, standing, up
from farm.local.state import Service

__all__ = ["Service", "Stack", "down", "embedded_stack", "standing", "up"]
