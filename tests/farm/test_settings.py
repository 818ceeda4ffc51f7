"""Settings: what wins, what is refused and in which words, what is never shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from farm.errors import SettingsError
from farm.settings import MASK, Settings, environment_key, is_secret

ROOT = Path(__file__).parents[2]


def written(folder: Path, text: str) -> Path:
    (folder / "farm.toml").write_text(text)
    return folder


def test_a_flag_wins_over_the_environment_over_farm_toml_over_the_default(tmp_path: Path) -> None:
    written(tmp_path, "[farm]\nslots = 2\nlease_seconds = 20\nsweep_seconds = 1\n")
    environ = {"FARM_DIR": str(tmp_path), "FARM_SLOTS": "3", "FARM_LEASE_SECONDS": "30"}
    settings = Settings.load({"slots": 4, "max_attempts": None}, environ)
    assert (settings.slots, settings.lease_seconds, settings.sweep_seconds, settings.max_attempts) == (4, 30, 1, 3)
    names = ("slots", "lease_seconds", "sweep_seconds", "max_attempts", "dir")
    assert [settings.source(name) for name in names] == ["flag", "environment", "farm.toml", "default", "environment"]


def test_farm_toml_is_read_from_the_folder_of_the_flag_not_of_the_environment(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.mkdir()
    other.mkdir()
    written(ours, "[farm]\nslots = 2\n")
    written(other, "[farm]\nslots = 9\n")
    assert Settings.load({"dir": ours}, {"FARM_DIR": str(other)}).slots == 2


def test_without_flag_and_variable_farm_toml_is_read_from_dot_farm_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".farm").mkdir()
    written(tmp_path / ".farm", "[farm]\nslots = 5\n")
    monkeypatch.chdir(tmp_path)
    assert Settings.load({}, {}).slots == 5


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = Settings.load({}, {"FARM_SLOTS": "", "FARM_S3_ENDPOINT": ""})
    assert (settings.slots, settings.s3_endpoint, settings.source("slots")) == (1, None, "default")


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "words"),
    [
        pytest.param({}, {"FARM_SLOTS": "many"}, "", "FARM_SLOTS 'many' environment integer", id="no number"),
        pytest.param({}, {"FARM_SLOTS": "0"}, "", "FARM_SLOTS '0' greater equal 1", id="too small"),
        pytest.param({"lease_seconds": -1}, {}, "", "--lease-seconds -1 flag greater", id="flag"),
        pytest.param({}, {"FARM_OWNER_WEIGHTS": "ann"}, "", "FARM_OWNER_WEIGHTS 'ann' NAME=NUMBER", id="no weight"),
        pytest.param({}, {"FARM_OWNER_WEIGHTS": "ann=0"}, "", "'ann=0' above 0", id="weight of nothing"),
        pytest.param({}, {"FARM_OWNER_WEIGHTS": "ann=nan"}, "", "'ann=nan' above 0", id="weight that is no number"),
        pytest.param({}, {"FARM_OWNER_LIMITS": "*=4,bob=2.5"}, "", "'bob=2.5' whole number", id="half a slot"),
        pytest.param({}, {"FARM_OWNER_LIMITS": "ann=1,ann=2"}, "", "'ann' twice", id="two limits"),
        pytest.param({}, {}, "max_attempts = 'x'", "max_attempts 'x' farm.toml integer", id="farm.toml"),
        pytest.param({}, {"FARM_S3_STYLE": "round"}, "", "FARM_S3_STYLE 'round' 'path' 'virtual'", id="choice"),
        pytest.param({}, {"FARM_S3_ENDPOINT": "minio:9000"}, "", "FARM_S3_ENDPOINT 'minio:9000' http", id="endpoint"),
        pytest.param({}, {"FARM_REDIS_URL": "http://x"}, "", "FARM_REDIS_URL redis:// rediss:// unix://", id="redis"),
        pytest.param({}, {"FARM_RENDERERS": "sonic=nowhere"}, "", "FARM_RENDERERS 'sonic=nowhere' NAME", id="renderer"),
    ],
)
def test_a_wrong_value_names_its_key_value_source_and_what_is_right(
    flags: dict[str, object], environ: dict[str, str], toml: str, words: str, tmp_path: Path
) -> None:
    written(tmp_path, f"[farm]\n{toml}\n")
    with pytest.raises(SettingsError) as caught:
        Settings.load({"dir": tmp_path, **flags}, environ)
    for word in words.split():
        assert word in str(caught.value)


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"(?s)FARM_SLOTS.*\n.*FARM_MAX_ATTEMPTS"):
        Settings.load({}, {"FARM_SLOTS": "0", "FARM_MAX_ATTEMPTS": "0"})


def test_an_unknown_key_in_farm_toml_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    written(tmp_path, "[farm]\nslotz = 2\n")
    with pytest.raises(SettingsError, match=r"unknown setting 'slotz', wanted one of .*\bslots\b"):
        Settings.load({"dir": tmp_path}, {})


@pytest.mark.parametrize("text", [pytest.param("[farm", id="no toml"), pytest.param("farm = 3", id="no table")])
def test_a_broken_farm_toml_is_named_with_its_path(tmp_path: Path, text: str) -> None:
    written(tmp_path, text)
    with pytest.raises(SettingsError, match=re.escape(str(tmp_path / "farm.toml"))):
        Settings.load({"dir": tmp_path}, {})


def test_settings_cannot_be_changed_once_they_are_made() -> None:
    settings = Settings.load({}, {})
    with pytest.raises(ValidationError, match="frozen"):
        settings.slots = 2  # type: ignore[misc]


def test_lists_are_written_with_commas() -> None:
    assert Settings.load({}, {"FARM_GPUS": "0, 1,GPU-8f2a"}).gpus == ("0", "1", "GPU-8f2a")


SECRETS = {
    "FARM_REDIS_URL": "rediss://farm:hush-redis@redis.example:6380/1",
    "FARM_S3_ENDPOINT": "https://user:hush-endpoint@minio.example",
    "FARM_S3_ACCESS_KEY": "hush-access",
    "FARM_S3_SECRET_KEY": "hush-secret",
    "FARM_FLOWER_PASSWORD": "hush-flower",
    "FARM_FLOWER_OPERATOR_PASSWORD": "hush-operators",
}


@pytest.mark.parametrize(("given", "kept"), [("/team/flower/", "team/flower"), ("flower", "flower"), ("/", "")])
def test_a_prefix_of_flower_may_be_written_with_slashes_around_it(given: str, kept: str) -> None:
    assert Settings.load({}, {"FARM_FLOWER_PREFIX": given}).flower_prefix == kept


@pytest.mark.parametrize("prefix", ["a.b", "a//b", "a b", "(x)", "../x"])
def test_a_prefix_that_would_be_a_pattern_or_another_path_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match=r"FARM_FLOWER_PREFIX is .*letters, digits"):
        Settings.load({}, {"FARM_FLOWER_PREFIX": prefix})


def test_no_secret_is_shown() -> None:
    settings = Settings.load({}, SECRETS)
    shown = settings.shown()
    assert "hush" not in str(shown)
    assert shown["redis_url"] == f"rediss://farm:{MASK}@redis.example:6380/1"
    assert shown["s3_secret_key"] == MASK


@pytest.mark.parametrize(
    "url", ["redis://:hush@h/0", "redis://h/0?password=hush", "unix://farm:hush@/run/redis.sock?db=1"]
)
def test_a_password_is_masked_wherever_a_redis_url_can_carry_it(url: str) -> None:
    assert "hush" not in str(Settings.load({}, {"FARM_REDIS_URL": url}).shown())


@pytest.mark.parametrize("key", ["FARM_REDIS_URL", "FARM_S3_ENDPOINT"])
def test_a_refused_url_does_not_give_its_password_away(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({}, {key: "ftp://farm:hush@host"})
    assert "hush" not in str(caught.value)
    assert key in str(caught.value)


def test_env_example_has_every_setting_and_only_those_all_commented_out() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = re.findall(r"^# (FARM_\w+)=", "\n".join(lines), re.MULTILINE)
    assert named == [environment_key(name) for name in Settings.model_fields]
    assert all(line.startswith("#") or not line for line in lines)


def test_the_documentation_lists_every_setting() -> None:
    named = re.findall(r"^\| `(FARM_\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    assert named == [environment_key(name) for name in Settings.model_fields]


def test_everything_that_is_called_a_key_or_password_is_marked_secret() -> None:
    named_so = [name for name in Settings.model_fields if re.search("key|password|token|secret", name)]
    assert named_so
    assert all(is_secret(name) for name in named_so)
