"""A MIMC service that the official clients use unmodified.

Frontends, REST, store and router are drivers around `mimc_proto` and a service that does no I/O.
"""
