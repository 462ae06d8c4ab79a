"""How hard the property tests try: 50 examples each, or what MIMC_EXAMPLES says."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mimc",
    max_examples=int(os.environ.get("MIMC_EXAMPLES", "50")),
    deadline=None,  # the machine may be busy
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mimc")
