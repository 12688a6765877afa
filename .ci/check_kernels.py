"""Whether the CUDA kernels were compiled. Usage: check_kernels.py compiled|absent."""

from __future__ import annotations

import sys

from cluscomp import _cuda, native


def main() -> int:
    expected = sys.argv[1]
    reason = _cuda.unavailable_reason()
    found = "absent" if "no CUDA kernels" in reason else "compiled"
    print(f"instruction sets: {', '.join(native.available_simd_levels())}")
    print(f"CUDA kernels: {found} ({reason or 'active'})")
    if found != expected:
        print(f"CUDA kernels should be {expected}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
