# ruff: noqa: INP001 - a settings file that Flower runs, no module of a package
"""Flower's settings, for `celery -A farm.local.flower flower --conf=deploy/flowerconfig.py`.

Flower takes every name here that is an option of its own. What differs between farms comes from the farm's settings.
"""

from farm.errors import SettingsError
from farm.local.flower import task_formatter
from farm.settings import Settings

_settings = Settings.load()
if not _settings.flower_password:
    raise SettingsError(
        "flower_password is empty: set FARM_FLOWER_PASSWORD; without one, anybody could stop the workers"
    )

address = "127.0.0.1"
port = _settings.flower_port
basic_auth = [f"{_settings.flower_user}:{_settings.flower_password}"]

_folder = _settings.dir / "flower"
_folder.mkdir(parents=True, exist_ok=True)
persistent = True
db = str(_folder / "tasks")
state_save_interval = 60_000  # milliseconds; without it the state is saved at a clean end alone

max_tasks = 100_000
purge_offline_workers = 600  # seconds; spot machines come and go

format_task = task_formatter(_settings)
tasks_columns = "name,kwargs,state,received,started,runtime,worker,uuid"
