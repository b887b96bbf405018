import asyncio
import json
import os
import sys

import pytest

from sdlora.server.beside import DECODING, TEACHING, start_process

SCRIPT = """
import json, os, sys
from sdlora.server.beside import step_back
before = os.nice(0)
step_back(int(sys.argv[1]))
json.dump([os.getsid(0), os.getpgid(0), os.nice(0) - before], sys.stdout)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="sessions are of POSIX")
def test_processes_give_way_in_the_servers_own_session():
    async def scenario():
        process = await start_process((sys.executable, "-c", SCRIPT, str(DECODING)), limit=2**16)
        session, group, niceness = json.loads(await process.stdout.readline())
        assert session == os.getsid(0)  # in another one its niceness would count for nothing beside the server
        assert group == process.pid != os.getpgid(0)
        assert niceness == min(DECODING, 19 - os.nice(0))
        process.stdin.close()
        assert await process.wait() == 0

    asyncio.run(scenario())


def test_lessons_step_back_behind_pictures():
    assert 0 < DECODING < TEACHING <= 19
