# ruff: noqa: INP001 - a settings file that Flower runs, no module of a package
"""Flower's settings, for `celery -A farm.local.flower flower --conf=deploy/flowerconfig.py`.

Flower takes every name here that is an option of its own. What differs between farms comes from the farm's settings.
It is for looking; with FLOWER_READ_ONLY=false in the environment it is the operators' one, at a port and with a login
of its own.
"""

import os

from farm.errors import SettingsError
from farm.local.flower import task_formatter
from farm.local.windows import LOOKING, OPERATING, READ_ONLY_VARIABLE
from farm.settings import Settings

_settings = Settings.load()
_window = OPERATING if os.environ.get(READ_ONLY_VARIABLE, "").lower() == "false" else LOOKING
if not _window.port(_settings):
    raise SettingsError("flower_operator_port is 0: set FARM_FLOWER_OPERATOR_PORT to the port of the operators' Flower")

read_only = _window.read_only
address = "127.0.0.1"
port = _window.port(_settings)
basic_auth = [":".join(_window.login(_settings))]
url_prefix = _window.prefix(_settings)

_folder = _settings.dir / _window.name
_folder.mkdir(parents=True, exist_ok=True)
persistent = True
db = str(_folder / "tasks")
state_save_interval = 60_000  # milliseconds; without it the state is saved at a clean end alone

max_tasks = 100_000
purge_offline_workers = 600  # seconds; spot machines come and go

format_task = task_formatter(_settings)
tasks_columns = "name,kwargs,state,received,runtime,worker,uuid"
