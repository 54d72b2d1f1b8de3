"""A Home Assistant-like origin on a real aiohttp server, for the tests.

Usage: origin.py. It prints the port it listens on, and ends with its standard input.
The WebSocket is made as Home Assistant makes its own (heartbeat, compression left at
aiohttp's default), greets with auth_required and waits for the client to leave.
"""

import asyncio
import json
import sys

from aiohttp import WSMsgType, web


async def websocket(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse(heartbeat=55)
    await ws.prepare(request)
    await ws.send_str(json.dumps({"type": "auth_required", "ha_version": "2026.11.2"}))
    async for message in ws:
        if message.type is not WSMsgType.TEXT:
            break
    return ws


async def page(_: web.Request) -> web.Response:
    return web.json_response({"name": "Home Assistant"})


async def main() -> None:
    app = web.Application()
    app.router.add_get("/api/websocket", websocket)
    app.router.add_get("/manifest.json", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
