"""What `mimc demo --serve` prints: addresses, keys, and lines to paste."""

from __future__ import annotations

import json

from mimc_server.applications import Application

__all__ = ["APPLICATION", "instructions"]

KEY, SECRET = "demo-key", "demo-secret"
"""The same every time, so that a client need not be built again: no secret at all."""

APPLICATION = Application.of(app_id=2882303761517613988, app_key=KEY, app_secret=SECRET, package="com.example.demo")

RESOLVER = "resolver.msg.xiaomi.net"
"""The resolver that official clients have built in."""

_TEXT = """\
A MIMC service, in memory: it forgets everything when it ends. Ctrl-C ends it.
  frontend    {frontend}
  http        {url}
  app id      {app_id}
  app key     {key}
  app secret  {secret}
Everybody who reaches these addresses can be any user: the secret is the same in every demo.

A token answer:
  curl -s {url}/api/account/token -H 'content-type: application/json' \\
    -d '{body}'

Python:
  import asyncio, urllib.request
  from mimc_transports.asyncio import connect

  def token():
      body = b'{body}'
      request = urllib.request.Request("{url}/api/account/token", body, {{"content-type": "application/json"}})
      with urllib.request.urlopen(request) as answer:
          return answer.read()

  async def main():
      async with connect({app_id}, "alice", token, addresses=[("{frontend_host}", {frontend_port})]) as alice:
          print(await alice.send("bob", b"Hi, Bob"))

  asyncio.run(main())

The official Go client, as it is:
  appId      := int64({app_id})
  appKey     := "{key}"
  appSecret  := "{secret}"
  token URL  := "{url}/api/account/token"
  resolver   = http://{resolver}, built in: have that name lead to this machine
               ("{host} {resolver}" in /etc/hosts), and serve there: --http {host}:80
"""


def instructions(frontend: tuple[str, int], http: tuple[str, int]) -> list[str]:
    """The lines for a service at these addresses."""
    host = _reached(http[0])
    ids = {"appId": APPLICATION.app_id, "appKey": KEY, "appSecret": SECRET}
    text = _TEXT.format(
        frontend=_joined(*frontend),
        url=f"http://{_joined(host, http[1])}",
        app_id=APPLICATION.app_id,
        key=KEY,
        secret=SECRET,
        body=json.dumps({**ids, "appAccount": "alice"}),
        resolver=RESOLVER,
        host=host,
        frontend_host=_reached(frontend[0]),
        frontend_port=frontend[1],
    )
    return text.splitlines()


def _reached(host: str) -> str:
    """Where this machine reaches what listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
