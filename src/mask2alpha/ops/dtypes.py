"""Which number formats a device computes in."""

import torch


def default_dtype(device: torch.device) -> torch.dtype:
    """The dtype in which the network runs best on a device: bfloat16 where computed in hardware, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX); elsewhere it is slower than float32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check)() for check in checks if hasattr(torch.cpu, check))


def cpu_runs_bfloat16() -> bool:
    """Whether this CPU can run the network in bfloat16 at all, if slowly: oneDNN needs AVX-512 or AVX-NE-CONVERT."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
