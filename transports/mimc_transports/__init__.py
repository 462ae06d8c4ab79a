"""MIMC for asyncio, trio and blocking programs: adapters that own a socket and a clock."""
