"""Credentials: found wherever libraries and users write them, and never shown, logged or kept."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import DIGITS, Command
from tests.test_bad_input import sentence, settings
from tune_diffreg.factory import in_a_line
from tune_diffreg.files import write_atomically
from tune_diffreg.observation.log import log_to
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.secrets import holds_credentials, masked, plain_line
from tune_diffreg.study import read_study

SECRET = "hunter2-of-the-team"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://me:{SECRET}@host:5000/api", "http://***@host:5000/api"),
        (f"https://{SECRET}@host/", "https://***@host/"),
        (f"mysql+pymysql://me:{SECRET}/a@b@host/db", "mysql+pymysql://***@host/db"),
        (f"s3://key:{SECRET}@bucket/runs", "s3://***@bucket/runs"),
        (f"https://h/a?X-Amz-Signature={SECRET}&x=1", "https://h/a?X-Amz-Signature=***&x=1"),
        (f"https://h/a?sig={SECRET}", "https://h/a?sig=***"),
        (f"s3://b/a?secret_key={SECRET}", "s3://b/a?secret_key=***"),
        (f"postgresql://h/db?sslpassword={SECRET}&x=1", "postgresql://h/db?sslpassword=***&x=1"),
        (f"https://h/#access_token={SECRET}", "https://h/#access_token=***"),
        (f"https://h/?AWSAccessKeyId={SECRET}", "https://h/?AWSAccessKeyId=***"),
        (f"https://h/?to=http%3A%2F%2Fme%3A{SECRET}%40h&x=1", "https://h/?to=***&x=1"),
        (
            f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BODBC+18%7D%3BUID%3Dsa%3BPWD%3D{SECRET}",
            "mssql+pyodbc:///?odbc_connect=***",
        ),
        (f"DRIVER={{ODBC 18}};UID=sa;PWD={{{SECRET};}};x", "DRIVER={ODBC 18};UID=sa;PWD=***;x"),
        (f"AccountName=a;AccountKey={SECRET}==;x", "AccountName=a;AccountKey=***;x"),
        (f"aws_secret_access_key='{SECRET}'", "aws_secret_access_key='***'"),
        (f'{{"password": "{SECRET}", "a": 1}}', '{"password": "***", "a": 1}'),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
    ],
)
def test_what_is_masked_in_a_text(text: str, shown: str) -> None:
    assert masked(f"failed: {text}", {}) == f"failed: {shown}"
    assert holds_credentials(text) == ("://" in text)


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/folder/a@b",
        "s3://bucket/studies?endpoint_override=127.0.0.1:9000&scheme=http",
        "--set key=value, such as search.trials=40",
        "if it asks for a token, set RAY_AUTH_MODE=token",
        "unexpected token: 'x'",
        "sqlite:////home/me/runs/mlflow.db",
        "http://host:5000/#/experiments/1?searchFilter=&orderByKey=attributes.start_time",
        "postgresql://h/db?sslmode=verify-full&sslkey=/me/key.pem&passfile=/me/.pgpass",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BODBC+18%7D%3BTrusted_Connection%3Dyes",
        "https://host/?next=http%3A%2F%2Fhost%3A5000%2Fa%40b&share=100%25",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert masked(text, {"RAY_AUTH_MODE": "token", "TOKENIZERS_PARALLELISM": "false"}) == text
    assert not holds_credentials(text)


@pytest.mark.parametrize(
    "variable",
    [
        "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "PGPASSWORD", "AZURE_STORAGE_CONNECTION_STRING",
    ],
)  # fmt: skip
def test_the_value_of_a_variable_is_masked_wherever_it_appears(variable: str) -> None:
    assert masked(f"sent <{SECRET}> to", {variable: SECRET}) == "sent <***> to"


@given(
    user=st.text("abcXYZ019-_", max_size=8),
    password=st.text("abcXYZ019-_%/$!", min_size=1, max_size=20).filter(
        lambda p: not p[0].isdigit()
    ),
    before=st.text(max_size=20).filter(lambda t: not t[-1:].isalnum()),
)
def test_no_password_of_an_address_is_left(user: str, password: str, before: str) -> None:
    address = f"postgresql://{user}:{password}#@host/db"
    assert holds_credentials(address)
    assert f":{password}#" not in masked(f"{before} {address}", {})


@pytest.mark.parametrize(
    "address",
    ["postgresql://me@host/db", "mssql+pyodbc://@host/db?driver=ODBC+Driver+18+for+SQL+Server"],
)
def test_a_database_may_be_told_who_asks(address: str) -> None:
    assert not holds_credentials(address)


@given(
    name=st.sampled_from(
        ["password", "sslpassword", "PWD", "access_token", "apiKey", "X-Amz-Signature"]
    ),
    secret=st.text(min_size=1).filter(lambda s: not set(s) & set("\"'{}*")).map(quote_plus),
    around=st.sampled_from(
        ["https://h/?{}", "https://h/?a=b&{}", "https://h/#{}", "s3://b/a;{}", "h://h/?to={}"]
    ),
    encoded=st.integers(0, 3),
)
def test_no_parameter_is_left_that_is_a_secret_however_often_encoded(
    name: str, secret: str, around: str, encoded: int
) -> None:
    parameter = f"{name}={secret}"
    if encoded:
        around = "mssql+pyodbc:///?odbc_connect={}"
    for _ in range(encoded):
        parameter = quote_plus(f"a=b;{parameter}")
    address = around.format(parameter)
    assert holds_credentials(address)
    assert masked(address, {}) in (around.format(f"{name}=***"), around.format("***"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["a.b-", "http://", "token=", "?a=%25", "password={"])
def test_a_long_text_takes_no_longer_for_what_it_is_made_of(part: str) -> None:
    masked(part * 30_000, {})


@given(st.text())
def test_a_line_for_a_person_is_one_line_that_every_terminal_can_show(text: str) -> None:
    shown = plain_line(text + "\x1b[2J\n\ud800")
    assert shown.isprintable()
    assert shown.encode()


def test_an_error_is_masked_before_it_becomes_a_trials_reason() -> None:
    error = ConnectionError(f"no answer\nfrom http://me:{SECRET}@host\x1b[31m")
    assert in_a_line(error) == "ConnectionError: no answer from http://***@host\\x1b[31m"


def test_the_log_has_no_credentials_tracebacks_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    try:
        log_to(tmp_path / "log.jsonl", "digits")
        log = logging.getLogger("some.library")
        log.setLevel(logging.INFO)  # whatever a library made of the root's level before
        logging.disable(logging.NOTSET)
        log.warning("cannot reach %s with %s", f"http://me:{SECRET}@host", SECRET)
        try:
            raise RuntimeError(f"refused: {SECRET}")
        except RuntimeError:
            log.exception("it failed")
    finally:
        root.handlers[:] = handlers
        logging.captureWarnings(False)
    written = (tmp_path / "log.jsonl").read_text()
    assert SECRET not in written
    assert "cannot reach http://***@host with ***" in written
    assert "RuntimeError: refused: ***" in written


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize(
    "override",
    [
        f"tracking.uri='http://me:{SECRET}@127.0.0.1:9'",
        f"tracking.uri='postgresql://me:{SECRET}@127.0.0.1/mlflow'",
        f"tracking.uri='https://host/?token={SECRET}'",
        f"tracking.uri='http://host/#access_token={SECRET}'",
        f"tracking.uri='mssql+pyodbc:///?odbc_connect=UID%3Dsa%3BPWD%3D{SECRET}'",
    ],
)
def test_a_tracking_uri_with_credentials_is_refused_and_says_where_they_go(
    command: Command, tmp_path: Path, verb: str, override: str
) -> None:
    storage = ["--storage", tmp_path / "runs"] if verb == "run" else []
    status, printed = command(verb, DIGITS, *settings(override), *storage)
    assert status == 2
    assert "tracking.uri: holds credentials" in sentence(printed)
    assert "MLFLOW_TRACKING_PASSWORD" in printed
    assert SECRET not in printed
    assert not (tmp_path / "runs").exists()


def test_a_study_that_was_begun_with_credentials_in_its_file_is_not_gone_on_with(
    command: Command, tmp_path: Path
) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(read_study(DIGITS))
    content = folder.read_study().model_dump(mode="json")
    content["tracking"]["uri"] = f"http://me:{SECRET}@127.0.0.1:9"
    write_atomically(folder.study, to_yaml(content))
    for verb in ("resume", "status", "report"):
        status, printed = command(verb, "digits", "--storage", tmp_path)
        assert status == 2
        assert "holds credentials" in sentence(printed)
        assert SECRET not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--storage", f"s3://key:{SECRET}@bucket/runs"),
        ("list", "--storage", f"s3://bucket/runs?secret_key={SECRET}"),
        ("run", str(DIGITS), "--set", f"data.source=https://me:{SECRET}@host/images"),
        ("run", str(DIGITS), "--set", f"tracking.uri=[http://me:{SECRET}@host"),
        ("run", f"https://me:{SECRET}@host/study.yaml"),
        ("run", str(DIGITS), "--address", f"ray://me:{SECRET}@host:x"),
        ("evaluate", f"https://me:{SECRET}@host/images", "--against", "digits"),
    ],
)
def test_no_command_repeats_credentials_that_it_was_given(
    command: Command, arguments: tuple[str, ...]
) -> None:
    status, printed = command(*arguments)
    assert status == 2
    assert SECRET not in sentence(printed)


def test_even_the_traceback_of_a_mistake_of_ours_shows_none(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(_: Path) -> None:
        raise RuntimeError(f"at http://me:{SECRET}@host with {SECRET}")

    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    monkeypatch.setattr("tune_diffreg.results.list_states", mistaken)
    status, printed = command("list", "--storage", tmp_path)
    assert status == 1
    assert "RuntimeError: at http://***@host with ***" in printed
    assert SECRET not in printed
