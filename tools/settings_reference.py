"""Make docs/reference/configuration.md from the settings' own explanations.

With --check nothing is written: exit status 1 says that the checked-in file is another one.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from mimc_server.settings.keys import Key, environment_name, sections
from mimc_server.settings.printing import written

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"

HEAD = f"""\
# Configuration

What `mimc serve` can be told; as an object it is `mimc_server.settings.Settings`. This page is made from the code by
`tools/settings_reference.py`.

A setting comes from an option of the command, else from an environment variable, else from the file (`--config`, or
`MIMC_CONFIG`), else it has its default. `mimc serve --print-config` prints all of them as a file with explanations,
and says where each comes from; with nothing else that is an example to begin with.

- **File**: [TOML](https://toml.io), with a section for each heading below. `data`, `tls.certificate` and `tls.key` are
  relative to its folder.
- **Environment**: `{environment_name("listen.tcp")}` is `listen.tcp`, `{environment_name("service.link.max_frame")}`
  is `service.link.max_frame`: two underscores for the dot. Commas make lists. A name with two underscores that is no
  setting is an error.
- **Options**: the usual ones have options of their own (`mimc serve --help`), all others `--set KEY=VALUE`.

Times are seconds, sizes bytes. Addresses are `HOST:PORT` or `[IPv6]:PORT`, and port 0 takes a free one. Empty text is
none, where a setting can have none. What cannot be used is said in one line: the file, variable or option, the key,
what was expected and what came; the exit status is 2.
"""

_SOURCE = re.compile(r" \([^()]*\b(?:clients|rest|wire)\.md\b[^()]*\)")
"""Where the rule behind a setting comes from."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the checked-in file, write nothing")
    check = parser.parse_args().check
    content = "\n".join(page()) + "\n"
    if check and (not PAGE.exists() or PAGE.read_text("utf-8") != content):
        sys.exit(f"{PAGE} is not what the settings say: run {sys.argv[0]}")
    if not check:
        PAGE.write_text(content, "utf-8")


def page() -> Iterator[str]:
    yield HEAD
    for section in sections():
        yield f"## [{section.name}]" if section.name else "## Above all sections"
        yield ""
        if section.name:
            yield _plain(section.text)
            yield ""
        yield "| key | default | |"
        yield "|---|---|---|"
        yield from map(_row, section.keys)
        yield ""


def _row(key: Key) -> str:
    default = f"`{written(key.default)}`" if key.default is not None else "none"
    return f"| `{key.name}` | {default} | {_plain(key.text).replace('|', chr(92) + '|')} |"


def _plain(text: str) -> str:
    """Markdown has one backquote where our docstrings have two."""
    return _SOURCE.sub("", text).replace("``", "`")


if __name__ == "__main__":
    main()
