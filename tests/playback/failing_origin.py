#!/usr/bin/env python3
"""The origin of live streams that fail on purpose. It records when the last byte of each segment was sent.

usage: failing_origin.py PORT FOLDER

FOLDER has segments of 2 s: seg0.ts, video0.ts (video alone), audio0.ts (audio alone), seg1.ts, …  Each path is a stream that fails in its own way, see SITUATIONS:
/NAME/live.m3u8. GET /log returns what was sent, as JSON: for each stream "start", the time of the first request, and
"segments" in the form that reference_model.py reads. Times are seconds of CLOCK_MONOTONIC.
"""

import http.server
import json
import pathlib
import re
import sys
import threading
import time

SECONDS = 2
LISTED = 6  # segments in a playlist
BEFORE = 6  # segments that there are when the origin starts
VOD = 40  # segments of a VOD

FOLDER = pathlib.Path(sys.argv[2])
BEGAN = time.monotonic()
LOCK = threading.Lock()
LOG = {}  # name -> {"start": s, "sent": {rendition: {sequence: time or None}}}

HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"


def age():
    return time.monotonic() - BEGAN


def every_fourth(number):
    return number % 4 == 1


# What is wrong with a segment, by the name of the stream, its number, and its place among those that the viewer may
# request, from 0: "delay" seconds before the head, "spread" seconds over which
# the body is sent, "status", "body", "cut".
SITUATIONS = {
    "clean": lambda number, place: {},
    "late": lambda number, place: {"delay": 9} if place == 4 else {},
    "missing": lambda number, place: {"status": 404} if every_fourth(number) else {},
    "cut": lambda number, place: {"cut": True} if every_fourth(number) else {},
    "html": lambda number, place: {"body": HTML} if every_fourth(number) else {},
    "empty": lambda number, place: {"body": b""} if every_fourth(number) else {},
    "outage": lambda number, place: {},
    "capped": lambda number, place: {"spread": 3.2},
    "audio": lambda number, place: {},
    "vod": lambda number, place: {},
    "vod_late": lambda number, place: {"delay": 9} if place == 8 else {},
    "vod_missing": lambda number, place: {"status": 404} if every_fourth(number) else {},
    "vod_html": lambda number, place: {"body": HTML} if every_fourth(number) else {},
    "vod_capped": lambda number, place: {"spread": 3.2},
}


def is_out(name, start):
    return name == "outage" and start is not None and 4 <= time.monotonic() - start < 12


def newest():
    return int(age() / SECONDS) + BEFORE


def media_playlist(name):
    vod = name.startswith("vod")
    last = VOD - 1 if vod else newest()
    first = 0 if vod else last - LISTED + 1
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SECONDS}", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    for number in range(first, last + 1):
        lines += [f"#EXTINF:{SECONDS}.000,", f"seg{number}.ts"]
    return "\n".join(lines + ["#EXT-X-ENDLIST"] * vod) + "\n"


MULTIVARIANT = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,AUTOSELECT=YES,URI="audio/live.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=300000,AUDIO="a"
video/live.m3u8
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, kind, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/log":
            self.reply("application/json", json.dumps(log()).encode())
            return
        found = re.fullmatch(r"/(\w+)/(?:(\w+)/)?(live\.m3u8|seg(\d+)\.ts)", self.path)
        if not found or found[1] not in SITUATIONS:
            self.reply("text/plain", b"no such file\n", 404)
            return
        name, rendition, file, number = found.groups()
        viewer = "client-" in self.headers.get("User-Agent", "")
        with LOCK:
            stream = LOG.setdefault(name, {"start": None, "sent": {}})
            if viewer and stream["start"] is None:
                stream["start"] = time.monotonic()
        if is_out(name, stream["start"]):
            self.close_connection = True
        elif file == "live.m3u8":
            text = MULTIVARIANT if name == "audio" and rendition is None else media_playlist(name)
            self.reply("application/vnd.apple.mpegurl", text.encode())
        else:
            self.segment(name, rendition or "", int(number), viewer)

    def segment(self, name, rendition, number, viewer):
        with LOCK:
            first = min(LOG[name]["sent"].get(rendition) or [number])
        fault = SITUATIONS[name](number, number - first)
        if rendition == "video":
            fault = {"delay": 1.5} if number % 5 == 0 else {"spread": 0.6}
        with LOCK:
            sent = LOG[name]["sent"].setdefault(rendition, {})
            sent.setdefault(number, None) if viewer else None
        if fault.get("status"):
            self.reply("text/html", HTML, fault["status"])
            return
        time.sleep(fault.get("delay", 0))
        body = fault.get("body", (FOLDER / f"{rendition or 'seg'}{number}.ts").read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault.get("cut"):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        pieces = 32 if fault.get("spread") else 1
        size = -(-len(body) // pieces) or 1
        for place in range(pieces):
            time.sleep(fault.get("spread", 0) / pieces)
            self.wfile.write(body[place * size : (place + 1) * size])
        if "body" not in fault and viewer:
            with LOCK:
                sent[number] = sent[number] or time.monotonic()


def log():
    """What was sent. A segment between two others that was never requested never arrived."""
    with LOCK:
        return {
            name: {
                "start": stream["start"],
                "renditions": [
                    [[number, SECONDS, sent.get(number)] for number in range(min(sent), max(sent) + 1)]
                    for sent in stream["sent"].values()
                    if sent
                ],
            }
            for name, stream in LOG.items()
        }


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """The origin goes on when a viewer goes away."""


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
