"""MIMC for asyncio, trio and blocking programs: adapters that own a socket and a clock.

`mimc_transports.asyncio` is the adapter for asyncio and uvloop; what is here serves all of them.
"""

import logging

from ._providers import MIMC_TOKEN_URL, HttpExtraMissing, HttpTokenProvider, fetch_resolver, fetch_resolver_async

__all__ = ["MIMC_TOKEN_URL", "HttpExtraMissing", "HttpTokenProvider", "fetch_resolver", "fetch_resolver_async"]

logging.getLogger("mimc").addHandler(logging.NullHandler())  # a library says nothing where nobody asked to hear it
