"""One frozen Settings value, built once at the edge: flag > environment > farm.toml > default.

Every setting `name` is the environment variable FARM_NAME and the key `name` of farm.toml.
"""

from __future__ import annotations

import os
import re
import tomllib
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from engine.renderer import BUILT_IN
from farm.errors import SettingsError
from farm.hooks.receiver import url_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.config import JsonDict

TOML_NAME = "farm.toml"
DEFAULT_DIR = Path(".farm")
SECRET: JsonDict = {"secret": True}
MASK = "********"

Source = Literal["flag", "environment", "farm.toml", "default"]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """Everything that differs between one farm and another."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    _sources: dict[str, Source] = PrivateAttr(default_factory=dict)

    dir: Path = Field(DEFAULT_DIR, description="folder of the embedded stack; farm.toml is read from it")

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis for broker and books: redis://, rediss:// (TLS) or unix://",
        json_schema_extra=SECRET,
    )

    s3_endpoint: str | None = Field(None, description="URL of an S3-compatible server; empty means Amazon S3")
    s3_bucket: str = Field(
        "sonic-farm", min_length=3, max_length=63, description="bucket for inputs, segments and results"
    )
    s3_prefix: str = Field("", description="put before every key, so that a bucket can be shared")
    s3_region: str = Field("us-east-1", description="region to sign requests for")
    s3_access_key: str | None = Field(
        None, description="access key; empty leaves it to boto3's own chain (profile, role)", json_schema_extra=SECRET
    )
    s3_secret_key: str | None = Field(
        None, description="secret key that belongs to the access key", json_schema_extra=SECRET
    )
    s3_style: Literal["path", "virtual"] = Field("path", description="bucket in the path or in the host name")
    s3_ca: Path | None = Field(None, description="file of certificate authorities to trust for the endpoint")

    slots: int = Field(1, ge=1, le=1024, description="render slots on this machine when no GPU is named")
    gpus: Names = Field((), description="GPUs of this machine, by index or UUID, a slot each: 0,1,GPU-UUID")
    cpu_workers: int = Field(1, ge=1, le=256, description="processes that plan and stitch on this machine")
    renderers: Names = Field(
        ("preview",), min_length=1, description="renderers that this machine's slots offer: NAME or NAME=module:Class"
    )

    weights: Path | None = Field(None, description="folder of Sonic's checkpoints (`farm weights fetch DIR`)")
    memory_mode: Literal["auto", "fast", "lean"] = Field(
        "auto", description="how Sonic spends GPU memory: fast, lean (small cards), or auto by what is free"
    )

    sonic_reach: int = Field(
        BUILT_IN["sonic"].geometry.reach,
        ge=0,
        le=125,
        description="generated frames at each end of a Sonic chunk's span that are thrown away, 12.5 a second "
        "(`farm weights check DIR --reach`)",
    )

    lease_seconds: float = Field(60, ge=1, le=3600, description="how long a silent worker keeps its right to a chunk")
    max_attempts: int = Field(3, ge=1, le=100, description="tries at a chunk before its job fails")
    sweep_seconds: float = Field(2, ge=0.1, le=60, description="pause between two looks of the sweeper")
    chunk_seconds: float = Field(
        30, gt=0, le=3600, description="video seconds that a chunk keeps, about, unless the farm is idle or behind"
    )
    check: bool = Field(True, description="render again what looks broken, twice at most, before a job is stitched")
    reuse: bool = Field(True, description="take chunks that were rendered before with the same content and settings")
    mark: bool = Field(False, description="write AI-generated into the picture of every video")
    cut_tolerance: float = Field(
        4, ge=0, le=60, description="seconds that a cut may move from the even one, to a pause"
    )
    owner_weights: Names = Field(
        (), description="shares of slot time by owner, NAME=NUMBER: maths=2,biology=1; 1 for who is not named"
    )
    owner_limits: Names = Field(
        (), description="most slots that an owner uses at once, NAME=SLOTS: maths=8,*=4; * is everybody else"
    )
    max_speech_seconds: float = Field(4 * 3600, gt=0, description="longest speech that is accepted")

    gpu_hour_price: float | None = Field(
        None, gt=0, description="what an hour of one GPU costs; empty: plans of batches name no money"
    )
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="what gpu_hour_price is in, three letters")

    inboxes: Names = Field((), description="folders in storage whose files become jobs: s3://bucket/folder")
    inbox_results: str = Field(
        "", description="where videos of the one inbox go, s3://bucket/folder; empty: results/ beside each inbox"
    )
    inbox_seconds: float = Field(10, ge=0.1, le=3600, description="pause between two looks at an inbox")
    inbox_settle_seconds: float = Field(
        15, ge=0, le=86400, description="least age of a file that is taken from an inbox, by the server's clock"
    )
    inbox_unpaired_seconds: float = Field(
        3600, gt=0, description="how long a file may lie in an inbox before it is reported as lacking its other half"
    )

    keep_segments_days: float = Field(30, ge=0, description="days that segments of a job are kept after it is done")
    keep_logs_days: float = Field(90, ge=0, description="days that logs of jobs that have ended are kept")
    keep_results_days: float | None = Field(
        None, ge=0, description="days that results are kept that are not the current version; empty: for ever"
    )
    keep_jobs_days: float | None = Field(
        None, ge=0, description="days that jobs which have ended are kept, results and inputs too; empty: for ever"
    )
    keep_inbox_days: float | None = Field(
        None, ge=0, description="days that files stay in done/ and failed/ of an inbox; empty: for ever"
    )

    owner: str = Field(
        default_factory=lambda: os.environ.get("USER") or getuser(),
        min_length=1,
        description="who submits, if not said",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_format: Literal["text", "json"] = Field("text", description="how a line of the log is written")

    metrics_host: str = Field("127.0.0.1", min_length=1, description="address on which /metrics answers")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65533,
        description="port of the sweeper's /metrics, the next two are those of this machine's slots and cpu workers; "
        "0: none (`farm up` chooses)",
    )

    webhook_secret: str | None = Field(
        None,
        min_length=16,
        description="what webhooks are signed with, 16 characters or more; `farm up` makes one if there is none",
        json_schema_extra=SECRET,
    )
    webhook_url: str | None = Field(
        None, description="URL that is told of every job and batch that ends", json_schema_extra=SECRET
    )
    webhook_private: bool = Field(False, description="let webhooks go to private and loopback addresses")

    flower_port: int = Field(5555, ge=1, le=65535, description="port of Flower in the embedded stack")
    flower_user: str = Field("farm", min_length=1, description="Flower's user name")
    flower_password: str | None = Field(
        None, description="Flower's password; `farm up` makes one if there is none", json_schema_extra=SECRET
    )
    flower_prefix: str = Field(
        "", description="what Flower's paths begin with, behind a proxy: flower; the operators' is flower-operators"
    )
    flower_operator_port: int = Field(
        0, ge=0, le=65535, description="port of a second Flower, in which operators stop workers and tasks; 0: none"
    )
    flower_operator_user: str = Field("operator", min_length=1, description="user name of the operators' Flower")
    flower_operator_password: str | None = Field(
        None, description="password of the operators' Flower; `farm up` makes one", json_schema_extra=SECRET
    )

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str) -> str:
        if urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("should start with redis://, rediss:// or unix://")
        return value

    @field_validator("s3_endpoint")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value and urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("should start with http:// or https://")
        return value or None

    @field_validator("webhook_url")
    @classmethod
    def _webhook(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and (problems := url_problems(value, private=True)):
            raise ValueError(problems[0])
        if value and not info.data.get("webhook_secret"):
            raise ValueError("wants webhook_secret to be set too: every webhook is signed")
        return value or None

    @field_validator("flower_prefix")
    @classmethod
    def _path(cls, value: str) -> str:
        # of Flower's own routes it becomes a pattern
        prefix = value.strip("/")
        if prefix and not re.fullmatch("[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", prefix):
            raise ValueError("should be of letters, digits, _ and -, with / between: team/flower")
        return prefix

    @field_validator("renderers")
    @classmethod
    def _declarations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for declaration in value:
            name, equals, target = declaration.partition("=")
            if renderer_problems(name) or (equals and ":" not in target):
                raise ValueError(f"{declaration!r} should be NAME or NAME=module:Class, NAME of a-z, 0-9, _ and -")
        return value

    @field_validator("owner_weights")
    @classmethod
    def _weights(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        amounts(value, whole=False)
        return value

    @field_validator("owner_limits")
    @classmethod
    def _limits(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        amounts(value, whole=True)
        return value

    @classmethod
    def load(cls, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Settings of this process.

        flags: values given on the command line, None where not given. Raises SettingsError.
        """
        environ = os.environ if environ is None else environ
        given_flags = {name: value for name, value in (flags or {}).items() if value is not None}
        from_environ = {
            name: environ[key] for name in cls.model_fields if environ.get(key := environment_key(name), "") != ""
        }
        folder = Path(given_flags.get("dir") or from_environ.get("dir") or DEFAULT_DIR)
        from_toml = read_toml(folder / TOML_NAME)
        values: dict[str, Any] = {}
        sources: dict[str, Source] = dict.fromkeys(cls.model_fields, "default")
        layers: tuple[tuple[Source, Mapping[str, Any]], ...] = (
            ("farm.toml", from_toml),
            ("environment", from_environ),
            ("flag", given_flags),
        )
        for source, layer in layers:
            values.update(layer)
            sources.update(dict.fromkeys(layer, source))
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise SettingsError("\n".join(_sentence(problem, sources) for problem in error.errors())) from None
        settings._sources.update(sources)
        return settings

    def source(self, name: str) -> Source:
        """Where the value of a setting came from."""
        return self._sources.get(name, "default")

    @property
    def reaches(self) -> dict[str, int]:
        """gen_frames of reach by renderer, of those whose reach is a setting."""
        return {"sonic": self.sonic_reach}

    def shown(self) -> dict[str, str]:
        """Every value as text, secrets masked."""
        return {name: shown_value(name, getattr(self, name)) for name in type(self).model_fields}


def renderer_problems(name: object) -> list[str]:
    """What is wrong with a renderer's name; it becomes part of keys in the books."""
    if isinstance(name, str) and re.fullmatch("[a-z0-9_-]{1,40}", name):
        return []
    return [f"renderer is {str(name)[:40]!r}, wanted 1 to 40 of a-z, 0-9, _ and -"]


def amounts(pairs: tuple[str, ...], *, whole: bool) -> dict[str, float]:
    """The numbers of pairs like "maths=2", by name. Raises ValueError for the first that is wrong."""
    found: dict[str, float] = {}
    form = "[0-9]{1,6}" if whole else r"[0-9]{1,6}(\.[0-9]{1,6})?"
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        if not name or not re.fullmatch(form, number) or not float(number):
            raise ValueError(f"{pair!r} should be NAME=NUMBER with a {'whole ' if whole else ''}number above 0")
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = float(number)
    return found


def environment_key(name: str) -> str:
    return f"FARM_{name.upper()}"


def is_secret(name: str) -> bool:
    extra = Settings.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


def shown_value(name: str, value: object) -> str:
    """A setting's value as a person may see it; a URL keeps its host and loses its password."""
    if value is None:
        return ""
    if name in {"redis_url", "s3_endpoint"}:
        return masked_url(str(value))
    if is_secret(name):
        return MASK
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def masked_url(url: str) -> str:
    """The URL without its password."""
    url = re.sub(r"([?&]password=)[^&]*", rf"\1{MASK}", url)
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    login, _, host = parts.netloc.rpartition("@")
    user = login.split(":")[0]
    return parts._replace(netloc=f"{user}:{MASK}@{host}").geturl()


def read_toml(path: Path) -> dict[str, Any]:
    """The [farm] table of a farm.toml, empty where there is no file."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("farm", {})
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: 'farm' is {table!r}, wanted a table [farm]")
    if unknown := sorted(set(table) - set(Settings.model_fields)):
        raise SettingsError(f"{path}: unknown setting {unknown[0]!r}, wanted one of {', '.join(Settings.model_fields)}")
    return table


def _sentence(problem: Any, sources: Mapping[str, Source]) -> str:
    name = str(problem["loc"][0])
    source = sources.get(name, "default")
    key = {"environment": environment_key(name), "flag": f"--{name.replace('_', '-')}"}.get(source, name)
    secret = name in Settings.model_fields and (is_secret(name) or "@" in str(problem["input"]))
    value = "(secret)" if secret else repr(problem["input"])
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key} is {value} ({source}): {reason}"
