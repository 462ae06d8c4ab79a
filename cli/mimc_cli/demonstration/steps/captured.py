"""The step that needs no service: a frame of the real cloud."""

from __future__ import annotations

import json
from importlib.resources import files

from ...decoding import Decoder, Keys
from ..stage import DemoError, Stage

__all__ = ["captured_frame"]

CAPTURED_TEXT = "I'm OK!"


async def captured_frame(_: Stage) -> str:
    """Decode the one captured frame of the real cloud, as ``mimc decode`` does."""
    captured = json.loads(files("mimc_cli").joinpath("captured.json").read_text("utf-8"))
    keys = Keys(body_key=bytes.fromhex(captured["body_key_hex"]), security_key=captured["security_key"])
    decoder = Decoder(keys)
    (shown,) = decoder.decode(bytes.fromhex(captured["frame_hex"]))
    if decoder.broken or CAPTURED_TEXT not in json.dumps(shown):
        raise DemoError(f"expected the captured frame to say {CAPTURED_TEXT!r}; its fields are {', '.join(shown)}")
    return f'a frame captured from the real cloud was decoded; it says "{CAPTURED_TEXT}"'
