"""What `mimc serve --dev` prints: addresses, keys, and lines to paste."""

from __future__ import annotations

import json

from mimc_server.administration import ApplicationKeys
from mimc_server.settings import Listen

__all__ = ["instructions"]

_KEYS = """\
  app id      {app_id}
  app key     {key}
  app secret  {secret}
"""

_CURL = """
A token answer, with curl:
  curl -s {url}/api/account/token -H 'content-type: application/json' \\
    -d '{body}'
"""

_PYTHON = """
Python:
  import asyncio, urllib.request
  from mimc_transports.asyncio import connect

  def token():
      body = b'{body}'
      request = urllib.request.Request("{url}/api/account/token", body, {{"content-type": "application/json"}})
      with urllib.request.urlopen(request) as answer:
          return answer.read()

  async def main():
      async with connect({app_id}, "alice", token, {where}) as alice:
          print(await alice.send("bob", b"Hi, Bob"))

  asyncio.run(main())
"""

_OFFICIAL = """
Official clients, as they are:
  Go    appId, appKey, appSecret := int64({app_id}), "{key}", "{secret}"
        tokenUrl := "{url}/api/account/token"
  Java  long appId = {app_id}L; String appKey = "{key}", appSecret = "{secret}";
        String url = "{url}/api/account/token";
  C++   string appId = "{app_id}", appKey = "{key}", appSecret = "{secret}";
        string url = "{url}/api/account/token";
  C#    string appId = "{app_id}", appKey = "{key}", appSecret = "{secret}";
        string url = "{url}/api/account/token";
"""

_WEBJS = """\
  WebJS const appId = "{app_id}", appKey = "{key}", appSecret = "{secret}";
        const url = "{url}/api/account/token";
        its WebSocket, wss://wsapp.chat.xiaomi.net/, becomes {websocket}/
"""

_HOSTS = """
They look for the server under names that they have built in; in /etc/hosts of their machine:
  {host} resolver.msg.xiaomi.net app.chat.xiaomi.net mimc.chat.xiaomi.net
and at ports 80 and 5222: --http {any}:80 --tcp {any}:5222. docs/how-to/serve.md tells what each of them needs.
"""

_KINDS = {
    "tcp": ("tcp", "", ""),
    "tls": ("tls", "", ", ssl=True"),
    "websocket": ("websocket", "ws://", ", websocket=True"),
    "websocket_tls": ("websocket", "wss://", ", websocket=True, ssl=True"),
    "http": ("http", "http://", None),
    "https": ("http", "https://", None),
}
"""By their keys in `Listen`: what people call them, how a URL begins, and what `connect` is to be told (None: it does
not go there)."""


def instructions(bound: Listen, keys: ApplicationKeys, kept: str) -> list[str]:
    """The lines for a server that is bound to these addresses; ``kept`` says where it has its data."""
    lines = [f"A MIMC server for development; {kept}. Ctrl-C ends it."]
    for kind, (name, scheme, _) in _KINDS.items():
        lines += [f"  {name:<11} {scheme}{address}" for address in getattr(bound, kind)]
    told = {"app_id": keys.app_id, "key": keys.app_key, "secret": keys.app_secret}
    text = _KEYS.format(**told)
    url = _url(bound, "http", "https")
    if url is not None:
        text += _by_token(bound, {**told, "url": url})
    return [*lines, *text.splitlines()]


def _by_token(bound: Listen, told: dict[str, object]) -> str:
    """What needs a token answer, as every client does."""
    ids = {"appId": told["app_id"], "appKey": told["key"], "appSecret": told["secret"]}
    body = json.dumps({**ids, "appAccount": "alice"})
    text = _CURL.format(body=body, **told)
    where = _where(bound)
    if where is not None:
        text += _PYTHON.format(body=body, where=where, **told)
    text += _OFFICIAL.format(**told)
    websocket = _url(bound, "websocket", "websocket_tls")
    if websocket is not None:
        text += _WEBJS.format(websocket=websocket, **told)
    if bound.tcp:
        text += _HOSTS.format(host=bound.tcp[0].local.host, any=bound.tcp[0].host)
    return text


def _url(bound: Listen, *kinds: str) -> str | None:
    """The first address of the first kind that there is, as this machine reaches it; without a slash at the end."""
    for kind in kinds:
        for address in getattr(bound, kind):
            return f"{_KINDS[kind][1]}{address.local}"
    return None


def _where(bound: Listen) -> str | None:
    """How `connect` is told where to go."""
    for kind, (_, _, how) in _KINDS.items():
        if how is not None:
            for address in getattr(bound, kind):
                host, port = address.local
                return f'addresses=[("{host}", {port})]{how}'
    return None
