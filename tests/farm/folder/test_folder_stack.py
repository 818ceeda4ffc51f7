"""`farm up --inbox`: from a drop to the video, without another command."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from farm.folder.inbox import Inbox
from farm.local.background import embedded_stack
from farm.storage.s3 import Storage
from tests.conftest import PORTRAIT, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pair_dropped_into_a_farm_that_is_up_becomes_a_video(tmp_path: Path) -> None:
    quick = {"inbox_seconds": 0.5, "inbox_settle_seconds": 1, "check": False}
    with embedded_stack(tmp_path / "farm", inboxes="s3://sonic-farm/inbox", **quick) as stack:
        assert "s3://sonic-farm/inbox" in [service.where for service in stack.services if service.name == "folder"]
        inbox = Inbox.at("s3://sonic-farm/inbox", stack.settings)
        with closing(Storage.from_settings(stack.settings).beside("sonic-farm")) as storage:
            storage.put_bytes("inbox/maths/one.png", PORTRAIT.read_bytes())
            storage.put_bytes("inbox/maths/One.WAV", tone(tmp_path / "one.wav", 1).read_bytes())
            video = inbox.result("maths/One.WAV").key
            wait_until(lambda: storage.head(video), seconds=120, what="the video is in results")
            assert storage.read_range(video, 4, 8) == b"ftyp"
            assert [item.key for item in storage.list("done/")] == ["done/maths/One.WAV", "done/maths/one.png"]
