"""Which vector instructions this CPU has, as they decide how 8-bit products are formed."""

from artifacts.isa import INTERESTING, instructions

__all__ = ["INTERESTING", "has_vnni", "instructions"]


def has_vnni() -> bool:
    """Whether 8-bit products are summed in 32 bits: VNNI or AMX on x86; ARM always does."""
    have = set(instructions())
    return bool(have & {"avx_vnni", "avx512_vnni", "amx_int8", "asimd"})
