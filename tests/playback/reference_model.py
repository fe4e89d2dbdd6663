#!/usr/bin/env python3
"""The playback of one viewer, computed independently from what a server sent.

This is the ground truth that hls-swarm's own figures are compared with, so it shares no code with it. It knows
only when the last byte of each segment left the server, and how long each segment is.

usage: reference_model.py < WHAT_WAS_SENT      prints JSON: startup, played, stalled, longest, stalls, missing (seconds)
       reference_model.py --hlsjs LOG          the same from an event log of hls.js, beside what its video element did

WHAT_WAS_SENT is JSON: {"start": s, "end": s, "renditions": [[[sequence, duration, last_byte or null], …], …]}. A
segment whose last_byte is null never arrived whole. Renditions are played together. Times are seconds of one clock;
"start" is when the viewer began.
"""

import json
import sys

SHORTEST_STALL = 0.25  # seconds; a shorter interruption is stalled time, but no stall

NOTHING = {"startup": None, "played": 0, "stalled": 0, "longest": 0, "stalls": 0, "missing": 0}


def timeline(segments, end):
    """The pieces of a rendition that can be shown: (begin, duration, last_byte), with positions in seconds."""
    position, pieces = 0.0, []
    for _, duration, arrived in sorted(segments):
        if arrived is not None and arrived <= end:
            pieces.append((position, duration, arrived))
        elif not pieces:
            # Media before the first segment that arrived was not chosen.
            continue
        position += duration
    return pieces


def together(renditions, end):
    """The pieces that can be shown of all renditions: each is there when the last of its parts is."""
    common = timeline(renditions[0], end)
    for other in renditions[1:]:
        both = []
        for begin, duration, arrived in common:
            for begin2, duration2, arrived2 in timeline(other, end):
                first, last = max(begin, begin2), min(begin + duration, begin2 + duration2)
                if last > first:
                    both.append((first, last - first, max(arrived, arrived2)))
        common = both
    return common


def play(start, end, renditions):
    """Plays whole segments in order. Media that never arrives is left out when the next segment is there."""
    pieces = together(renditions, end) if renditions else []
    if not pieces:
        return NOTHING
    startup = pieces[0][2] - start
    played = stalled = longest = missing = 0.0
    stalls = 0
    free = pieces[0][2]  # when the playhead is at the end of what was played so far
    position = pieces[0][0]
    for begin, duration, arrived in pieces:
        if free >= end:
            break
        if arrived > free:
            stalled += arrived - free
            if arrived - free >= SHORTEST_STALL:
                stalls += 1
                longest = max(longest, arrived - free)
            free = arrived
        missing += begin - position
        played += min(duration, end - free)
        free += duration
        position = begin + duration
    if free < end:
        stalled += end - free
        if end - free >= SHORTEST_STALL:
            stalls += 1
            longest = max(longest, end - free)
    return {
        "startup": round(startup, 3),
        "played": round(played, 3),
        "stalled": round(stalled, 3),
        "longest": round(longest, 3),
        "stalls": stalls,
        "missing": round(missing, 3),
    }


def hlsjs(log):
    """The model's figures for an hls.js session, and how long its video element was stalled."""
    fragments = [[e["sn"], 2.0, e["t"] / 1000] for e in log if e["k"] == "FRAG_LOADED"]
    pressed = next(e["t"] for e in log if e["k"] == "media:play") / 1000
    first = next(e["t"] for e in log if e["k"] == "firstframe") / 1000
    real, waiting = 0.0, None
    for event in log:
        if event["k"] == "media:waiting" and event["t"] / 1000 > first:
            waiting = event["t"]
        elif event["k"] == "media:playing" and waiting is not None:
            real += (event["t"] - waiting) / 1000
            waiting = None
    model = play(pressed, max(fragments)[2], [fragments])
    return {"model": model, "video_element_stalled": round(real, 3), "first_frame": round(first - pressed, 3)}


def main():
    if sys.argv[1:2] == ["--hlsjs"]:
        with open(sys.argv[2], encoding="utf-8") as file:
            print(json.dumps(hlsjs(json.load(file))))
        return
    sent = json.load(sys.stdin)
    print(json.dumps(play(sent["start"], sent["end"], sent["renditions"])))


if __name__ == "__main__":
    main()
