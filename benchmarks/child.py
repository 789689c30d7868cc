"""One measurement in a process of its own: `python child.py CALL`, started by `measuring.in_child`."""

import json
import resource
import sys
from importlib import import_module

import torch


def main(text: str) -> None:
    """Run the function that `text` (JSON) names; the last line of the output is its result."""
    call = json.loads(text)
    torch.set_num_threads(call["threads"])
    if call["memory_gb"] is not None:
        limit = _address_space() + int(call["memory_gb"] * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    module, name = call["function"].split(".")
    print(json.dumps(getattr(import_module(module), name)(**call["arguments"])))


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1])
