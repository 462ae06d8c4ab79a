"""The application that `mimc serve --dev` makes, so that there is one to log in to."""

from __future__ import annotations

import json

from mimc_server.administration import ApplicationKeys
from mimc_server.server import Server

__all__ = ["development_application"]

KEPT = "development-application"
"""The setting of the store that has it. Its secret can be read there, unlike those of others: it is to be printed
again at the next start, and who can read the store can make any token anyway."""

PACKAGE = "com.example.dev"


async def development_application(server: Server) -> ApplicationKeys:
    """The one of this server's store, which is made at first and served from now on."""
    kept = await server.perform(lambda: server.store.setting(KEPT))
    if kept is not None:
        keys = ApplicationKeys(**json.loads(kept))
        return await server.add_application(
            keys.package, app_id=keys.app_id, app_key=keys.app_key, app_secret=keys.app_secret, replace=True
        )
    keys = await server.add_application(PACKAGE)
    content = json.dumps(dict(zip(keys.field_names, keys, strict=True))).encode()
    await server.perform(lambda: server.store.put_setting(KEPT, content))
    return keys
