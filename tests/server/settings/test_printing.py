"""Settings as a file, and as the page of the documentation."""

from __future__ import annotations

import string
import subprocess
import sys
import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from mimc_server.settings import Settings, as_toml, load_settings
from mimc_server.settings.keys import keys, sections
from mimc_server.settings.printing import written

ROOT = Path(__file__).parents[3]


def test_the_example_sets_nothing_and_explains_everything() -> None:
    lines = list(as_toml(Settings(), {}))
    assert tomllib.loads("\n".join(lines)) == {
        "listen": {}, "tls": {}, "public": {}, "tokens": {}, "http": {}, "metrics": {}, "log": {}, "admin": {},
        **{section.name: {} for section in sections() if section.name in ("frontend", "store")},
        "service": {"link": {}},
    }  # fmt: skip
    assert all(key.text for key in keys().values())
    for key in keys():
        assert any(line.startswith(f"# {key.rpartition('.')[2]} = ") for line in lines), key


def test_what_is_printed_can_be_read_again_and_is_the_same(tmp_path: Path) -> None:
    settings = Settings(data=Path("/kept"), memory=True, stop_timeout=2.5)
    file = tmp_path / "mimc.toml"
    file.write_text("\n".join(as_toml(settings, dict.fromkeys(keys(), "--set"))), "utf-8")
    assert load_settings(file).settings == settings


def test_what_was_set_says_where_it_is_from() -> None:
    lines = list(as_toml(Settings(memory=True), {"memory": "--memory"}))
    assert "memory = true  # from --memory" in lines
    assert "# stop_timeout = 5.0" in lines


def test_secrets_are_not_printed() -> None:
    settings = load_settings(environment={"MIMC_TLS__PASSWORD": "sesame"}).settings
    lines = list(as_toml(settings, {"tls.password": "MIMC_TLS__PASSWORD"}))
    assert "# password is set, and not shown" in lines
    assert not any("sesame" in line for line in lines)
    assert "sesame" not in repr(settings)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    assert tomllib.loads(f"x = {written(text)}") == {"x": text}


@given(st.text(string.printable), st.text(string.printable, min_size=1))
def test_an_origin_cannot_add_a_setting(origin: str, text: str) -> None:
    settings = Settings(data=Path(text.replace("\0", "")))
    read = tomllib.loads("\n".join(as_toml(settings, {"data": origin})))
    assert read["data"] == str(settings.data)


def test_the_page_of_the_documentation_is_what_the_settings_say() -> None:
    command = [sys.executable, str(ROOT / "tools" / "settings_reference.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
