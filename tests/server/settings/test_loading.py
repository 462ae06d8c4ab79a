"""Settings from a file, environment variables and options; and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.service import ServiceConfig
from mimc_server.settings import Address, Settings, SettingsError, load_settings
from mimc_server.settings.keys import environment_name, keys
from mimc_server.store import StoreConfig
from pydantic import ValidationError

from mimc_proto import ServerConfig


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mimc.toml"


def of_file(file: Path, text: str) -> Settings:
    file.write_text(text, "utf-8")
    return load_settings(file).settings


def refusal(file: Path | None = None, **given: dict[str, str] | dict[str, tuple[str, str]]) -> str:
    """What is said of settings that cannot be, without the folder of the file."""
    with pytest.raises(SettingsError) as caught:
        load_settings(file, **given)  # type: ignore[arg-type]  # as they are named
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(f"{file.parent}/", "") if file else text


# ------------------------------------------------------------------------------------------------------- where from


def test_without_anything_all_is_default() -> None:
    loaded = load_settings()
    assert loaded.settings == Settings()
    assert loaded.origins == {}


def test_a_file_sets_what_is_in_it_and_no_more(file: Path) -> None:
    settings = of_file(
        file,
        """
        memory = true
        [listen]
        tcp = ["0.0.0.0:5222", "[::1]:5222"]
        [service]
        account_rate = 0
        [service.link]
        idle_timeout = 300
        [store]
        retention = 86400.0
        """,
    )
    assert settings.memory
    assert settings.listen.tcp == (Address("0.0.0.0", 5222), Address("::1", 5222))
    assert settings.listen.http == Settings().listen.http
    assert settings.service == ServiceConfig(account_rate=0, link=ServerConfig(idle_timeout=300))
    assert settings.store == StoreConfig(retention=86400.0)


def test_options_go_before_the_environment_and_that_before_the_file(file: Path) -> None:
    file.write_text('database = "file.db"\nstop_timeout = 1\n[tokens]\nlifetime = 1', "utf-8")
    environment = {"MIMC_STOP_TIMEOUT": "2", "MIMC_TOKENS__LIFETIME": "2"}
    settings, origins = load_settings(file, environment, {"tokens.lifetime": ("--set", "3")})
    assert (settings.database, settings.stop_timeout, settings.tokens.lifetime) == (Path("file.db"), 2, 3)
    assert origins == {"database": str(file), "stop_timeout": "MIMC_STOP_TIMEOUT", "tokens.lifetime": "--set"}


def test_texts_become_what_their_settings_are() -> None:
    settings = load_settings(
        environment={
            "MIMC_MEMORY": "True",
            "MIMC_LISTEN__TCP": "127.0.0.1:1, [::1]:2",
            "MIMC_LISTEN__HTTP": "",
            "MIMC_SERVICE__ACCOUNT_RATE": "",
            "MIMC_SERVICE__HOST": "7",
            "MIMC_STORE__MAX_USERS": "7",
            "MIMC_TLS__PASSWORD": "7",
            "MIMC_ADMIN__SOCKET": "",
        }
    ).settings
    assert settings.memory
    assert settings.listen.tcp == (Address("127.0.0.1", 1), Address("::1", 2))
    assert settings.listen.http == ()
    assert (settings.service.account_rate, settings.service.host, settings.store.max_users) == (None, "7", 7)
    assert settings.tls.password is not None
    assert settings.tls.password.get_secret_value() == "7"
    assert settings.admin.socket is None


def test_variables_of_other_programs_are_none_of_ours() -> None:
    kubernetes = {"MIMC_SERVICE_HOST": "10.0.0.1", "MIMC_PORT_5222_TCP": "tcp://10.0.0.1:5222", "PATH": "/bin"}
    assert load_settings(environment=kubernetes).settings == Settings()


def test_no_two_settings_have_one_variable() -> None:
    assert len({environment_name(key) for key in keys()}) == len(keys())


def test_paths_in_a_file_are_relative_to_it_and_others_to_where_one_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    file.write_text('data = "kept"\n[tls]\ncertificate = "/etc/cert.pem"\nkey = "~/key.pem"', "utf-8")
    settings = load_settings(file).settings
    assert settings.data == file.parent / "kept"
    assert settings.tls.certificate == Path("/etc/cert.pem")
    assert settings.tls.key == Path.home() / "key.pem"
    assert load_settings(options={"data": ("--data", "kept")}).settings.data == Path("/kept")


def test_a_home_that_is_not_known_is_a_name_as_any_other() -> None:
    settings = load_settings(options={"data": ("--data", "~nobody-has-this-name/x")}).settings
    assert settings.data == Path.cwd() / "~nobody-has-this-name/x"


# ------------------------------------------------------------------------------------------------- what follows from it


def test_database_and_socket_are_in_the_data_folder() -> None:
    settings = Settings(data=Path("/kept"))
    assert settings.database_path == Path("/kept/mimc.db")
    assert settings.admin_socket == Path("/kept/admin.sock")


def test_absolute_paths_stay_what_they_are() -> None:
    environment = {"MIMC_DATA": "/kept", "MIMC_DATABASE": "/db", "MIMC_ADMIN__SOCKET": "/run/mimc.sock"}
    settings = load_settings(environment=environment).settings
    assert (settings.database_path, settings.admin_socket) == (Path("/db"), Path("/run/mimc.sock"))


def test_in_memory_there_is_no_database_and_a_socket_only_where_it_is_named() -> None:
    settings = Settings(memory=True)
    assert (settings.database_path, settings.admin_socket) == (None, None)
    named = load_settings(environment={"MIMC_MEMORY": "true", "MIMC_ADMIN__SOCKET": "/run/mimc.sock"}).settings
    assert named.admin_socket == Path("/run/mimc.sock")


# ----------------------------------------------------------------------------------------------------- what is wrong


def test_a_file_that_is_not_there_is_said(file: Path) -> None:
    assert refusal(file) == "mimc.toml: cannot read it: No such file or directory"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("cannot read it: Is a directory")


def test_a_file_that_is_no_text_is_said(file: Path) -> None:
    file.write_bytes(b"memory = true # \xff")
    assert refusal(file) == "mimc.toml: expected UTF-8, which byte 16 is not"


def test_a_file_that_is_no_toml_is_said_with_its_line(file: Path) -> None:
    file.write_text("memory = true\nlisten tcp", "utf-8")
    assert refusal(file).startswith("mimc.toml: expected TOML: ")
    assert "(at line 2, column" in refusal(file)


def test_a_file_that_is_nested_without_end_is_said(file: Path) -> None:
    file.write_text("x = " + "[" * 100_000, "utf-8")
    assert refusal(file) == "mimc.toml: expected TOML that is not nested without end"


def test_a_file_that_is_far_too_large_is_not_read(file: Path) -> None:
    file.write_text("#" * (1 << 20) + "\n", "utf-8")
    assert refusal(file) == "mimc.toml: expected a file of at most 1048576 bytes"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memori = true", "memori: there is no such setting; did you mean memory?"),
        ("x = 1", "x: there is no such setting"),
        ("[listn]\ntcp = []", "listn: there is no such setting; did you mean listen?"),
        ("[listen]\ntpc = []", "listen.tpc: there is no such setting; did you mean listen.tcp?"),
        ("listen = 5", "listen: expected a section, as in [listen], got 5"),
        ("memory = 1", "memory: expected true or false, got 1"),
        ("stop_timeout = '5'", "stop_timeout: expected a number, got '5'"),
        ("stop_timeout = true", "stop_timeout: expected a number, got True"),
        ("stop_timeout = nan", "stop_timeout: expected a number, got nan"),
        ("stop_timeout = 0", "stop_timeout: expected at least 0.1, got 0"),
        ("stop_timeout = 1e10", "stop_timeout: expected at most 3600, got 10000000000.0"),
        ("data = 5", "data: expected a path as text, got 5"),
        ('data = "a\\u0000b"', "data: expected the path of a file, got 'a\\x00b'"),
        ('database = ""', "database: expected the path of a file, got ''"),
        ("[listen]\ntcp = 5", "listen.tcp: expected a list of HOST:PORT, got 5"),
        ("[listen]\ntcp = [5]", "listen.tcp[0]: expected HOST:PORT as text, got 5"),
        (
            "[listen]\ntcp = ['127.0.0.1:1', 'x']",
            "listen.tcp[1]: expected HOST:PORT such as 127.0.0.1:5222, got 'x'",
        ),
        (
            "[public]\naddresses = ['a:1']",
            "public.addresses[0]: expected an IPv4 literal and a port, for clients take nothing else, got a:1",
        ),
        (
            "[listen]\ntcp = ['\\u0000:1']".replace("'", '"'),
            "listen.tcp[0]: expected HOST:PORT such as 127.0.0.1:5222, got '\\x00:1'",
        ),
        ('"" = 1', "there is no such setting"),
        ('"data\\nb" = 1', "'data\\nb': there is no such setting; did you mean data?"),
        ("[public]\nrelay_domain = ''", "public.relay_domain: expected at least 1 character, got ''"),
        ("[public]\nrelay_domain = true", "public.relay_domain: expected text, got True"),
        ("[log]\nformat = 'xml'", 'log.format: expected "text" or "json", got \'xml\''),
        ("[http]\nmax_connections = 1.5", "http.max_connections: expected a whole number, got 1.5"),
        ("[service]\nmax_links = '5'", "service.max_links: expected a whole number, got '5'"),
        ("[service]\nmax_links = true", "service.max_links: expected a whole number, got True"),
        ("[service]\nhost = 5", "service.host: expected text, got 5"),
        ("[service]\nmax_links = 0", "service.max_links: expected a whole number from 1 to 2147483648, got 0"),
        (
            "[service.link]\nmax_list_bytes = 5",
            "service.link.max_list_bytes: expected at least 27808, so that a message of max_payload fits, got 5",
        ),
        (
            "[service.link]\nidle_timeout = 0",
            "service.link.idle_timeout: expected seconds from 0.001 to 31622400, got 0.0",
        ),
        ("[store]\nhistory = 5.0", "store.history: expected at least retention, which is 604800.0, got 5.0"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_name_and_key(file: Path, text: str, said: str) -> None:
    file.write_text(text, "utf-8")
    assert refusal(file) == f"mimc.toml: {said}"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MIMC_MEMORY", "yes", "memory: expected true or false, got 'yes'"),
        ("MIMC_STOP_TIMEOUT", "5s", "stop_timeout: expected a number, got '5s'"),
        ("MIMC_STORE__MAX_USERS", "1e6", "store.max_users: expected a whole number, got '1e6'"),
        ("MIMC_LISTEN__TCP", "5222", "listen.tcp[0]: expected HOST:PORT such as 127.0.0.1:5222, got '5222'"),
        ("MIMC_LISTEN__TPC", "", "there is no such setting; did you mean MIMC_LISTEN__TCP?"),
    ],
)
def test_what_is_wrong_in_a_variable_is_said_with_its_name_and_key(name: str, text: str, said: str) -> None:
    assert refusal(environment={name: text}) == f"{name}: {said}"


def test_what_is_wrong_in_an_option_is_said_with_its_name_and_key() -> None:
    assert refusal(options={"listen.tcp": ("--tcp", "x")}) == (
        "--tcp: listen.tcp[0]: expected HOST:PORT such as 127.0.0.1:5222, got 'x'"
    )
    assert refusal(options={"listen.tpc": ("--set", "x")}) == (
        "--set: listen.tpc: there is no such setting; did you mean listen.tcp?"
    )


def test_what_was_given_for_a_secret_is_not_repeated(file: Path) -> None:
    file.write_text("[tls]\npassword = 123456", "utf-8")
    assert refusal(file) == "mimc.toml: tls.password: expected text, got something else"


def test_what_listens_inside_tls_needs_a_certificate(file: Path) -> None:
    file.write_text('[listen]\nhttps = ["127.0.0.1:443"]', "utf-8")
    said = "tls.certificate: expected a certificate, as 127.0.0.1:443 is to be inside TLS, got none"
    assert refusal(file) == said


def test_settings_made_in_a_program_are_checked_as_well() -> None:
    with pytest.raises(ValidationError):
        Settings(stop_timeout=-1.0)
    with pytest.raises(ValidationError):
        Settings.model_validate({"memori": True})


@given(st.dictionaries(st.sampled_from(sorted(keys())), st.text(max_size=20), max_size=4))
def test_any_texts_are_settings_or_are_refused_in_one_line(texts: dict[str, str]) -> None:
    try:
        load_settings(options={key: ("--set", text) for key, text in texts.items()})
    except SettingsError as error:
        said = str(error)
    else:
        said = "nothing"
    assert len(said.splitlines()) == 1
