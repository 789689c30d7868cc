"""A worker without a network, for tests of the service's front: it speaks the protocol and answers at once.

What it does with a job depends on what is in the upload: `sleep`, `die`, `die once`, `babble` (pickle instead of JSON),
`log` (an unexpected error); anything else is answered with a text file.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

RESULT = {"width": 30, "height": 20, "is_16_bit": False}


def say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    if settings["model"] == "missing":
        say({"problem": {"kind": "starting", "detail": "missing: neither a shipped name nor a file"}})
        sys.exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready = {"device": "cpu", "dtype": "float32", "trust": 0.5, "steps": 2, "error_threshold": 0.02, "selects": 1}
    say({"ready": ready})
    for line in sys.stdin:
        message = json.loads(line)
        if "forget" in message:
            Path(os.environ.get("STUB_FORGOTTEN", os.devnull)).write_text(message["forget"], encoding="utf-8")
            continue
        job = message["job"]
        photo = Path(job["photo"])
        wish = photo.read_bytes()
        say({"stage": "matting", "done": 0.5})
        if wish.startswith(b"sleep"):
            time.sleep(float(wish.split()[1]))
        elif wish == b"die once" and not photo.with_name("died").exists():
            photo.with_name("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif wish == b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif wish == b"babble":
            sys.stdout.write("\x80\x04cos\nsystem\n")
            sys.stdout.flush()
            continue
        elif wish == b"log":
            say({"problem": {"kind": "internal", "detail": "An unexpected error.", "traceback": "Traceback: secret"}})
            continue
        elif wish == b"refuse":
            say({"problem": {"kind": "picture-refused", "detail": "The photograph: not a picture."}})
            continue
        if job["kind"] == "encode":
            say({"result": RESULT})
            continue
        (Path(job["folder"]) / "0.png").write_text(f"{os.getpid()} {job['kind']}", encoding="utf-8")
        say({"result": {**RESULT, "file_name": "0.png", "media_type": "image/png"}})


if __name__ == "__main__":
    main()
