"""How hard the property tests try.

By default 50 examples each, the same in every run: a commit passes or it does not. With MIMC_EXAMPLES, so many, other
ones in every run (`make prove`).
"""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("MIMC_EXAMPLES")

settings.register_profile(
    "mimc",
    max_examples=int(EXAMPLES or "50"),
    derandomize=EXAMPLES is None,
    deadline=None,  # the machine may be busy
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mimc")
