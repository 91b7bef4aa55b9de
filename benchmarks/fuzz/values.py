"""Odd values for every value representation (PS3.5 6.2), little endian: what public bug reports and standards' corner
cases are made of."""

from __future__ import annotations

import random
import struct
from typing import Final

LONG_TEXT: Final = b"x" * 70_000
# Texts that any representation of characters may be given.
TEXTS: Final = (
    *(b"", b" ", b"\0", b"\0\0\0\0", b"\\", b"\\\\\\", b"a\\b", b"\x1b$B", b"\x1b", b"\x01\x02\x1f", b"\x7f", b"\r\n"),
    *(b"\xff\xfe", b"\xe2\x82", b"\xed\xa0\x80", "名字^名".encode(), "名字".encode("gb18030"), "ä".encode("latin-1")),
    *(b"'\"<>&;--", b"../../etc/passwd", b"${jndi:x}", b"%s%n%d", b"{}", b"=1+1", b"None", b"null", b"true", LONG_TEXT),
    *("\u202e\ufeff".encode(), "\U0001f600".encode(), b"x" * 65, b"x" * 1025, b"^^^^^^", b"====", b"a=b=c=d"),
)
NUMBERS: Final = (
    *(b"0", b"-0", b"1", b"-1", b"0.7", b"1e-300", b"1e300", b"1e400", b"-1e400", b"nan", b"NaN", b"inf", b"-inf"),
    *(b"Infinity", b"2,5", b"2.5 mm", b"0x10", b"1_000", b"+5", b"5.", b".5", b"1e", b"--1", b"1\\2", b"1\\", b"\\1"),
    *(b"99999999999999999999", b"2147483648", b"-2147483649", b"1.00000000000000000001", b"0.000001", b"1e5", b"1000"),
    *(b" 1 ", b"1\0", b"\0" + b"1", "\u0661".encode(), "\uff11".encode(), b"1e-46", b"3.5e38", b"65536", b"-32769"),
)
DATES: Final = (
    *(
        b"00000000",
        b"20230229",
        b"20231301",
        b"99999999",
        b"2023",
        b"202312",
        b"2023.12.31",
        b"2023-12-31",
        b"00010101",
    ),
    *(b"20230101-20231231", b"17520909", b"20230101\\20230102", b"0000", b"abcdefgh", b"2023123", b"202312311"),
)
TIMES: Final = (
    *(b"000000", b"240000", b"235960", b"126161", b"12", b"1260", b"12:30:00", b"120000.1234567", b"120000.", b"9"),
    *(b"120000-130000", b"-1", b"999999", b"120000.999999", b"12 000"),
)
UIDS: Final = (
    *(b"1", b"0", b".", b"1.", b".1", b"1..2", b"1.02", b"1.2_3", b"1/2", b"1.2\\1.3", b"1.2.a", b"1 2", b"-1.2"),
    *(b"1." * 32 + b"1", b"9" * 64, b"1." + b"9" * 63, b"2.25.", b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.1.2"),
    *(b"urn:oid:1.2", b"1.2.3\0.4", b"1.2.3\n", "1.2.\u0663".encode()),
)
CODES: Final = (
    *(b"CT", b"MR", b"ct", b"C T", b"HU", b"US", b"M", b"F", b"X", b"MONOCHROME1", b"MONOCHROME2", b"RGB"),
    *(b"PALETTE COLOR", b"YBR_FULL_422", b"YBR_RCT", b"LOCALIZER", b"ORIGINAL\\PRIMARY\\LOCALIZER", b"DERIVED"),
    *(b"ORIGINAL\\PRIMARY\\AXIAL", b"\\\\LOCALIZER", b"YES", b"NO", b"FFS", b"HFS", b"A" * 17),
)
CHARSETS: Final = (
    *(b"ISO_IR 100", b"ISO_IR 192", b"GB18030", b"GBK", b"ISO 2022 IR 87", b"\\ISO 2022 IR 87", b"ISO_IR 13"),
    *(b"ISO 2022 IR 6\\ISO 2022 IR 149", b"ISO_IR 999", b"UTF-8", b"utf8", b"latin-1", b"\x01\x02", b"ISO_IR 144"),
    *(b"ISO_IR 192\\ISO_IR 100", b"\\", b"\\\\", b"ISO IR 100", b"rot13", b"zlib_codec", b"idna", b"undefined", b"\0"),
)
AGES: Final = (b"045Y", b"45Y", b"045", b"999D", b"-01Y", b"045y", b"Y045", b"000W", b"045M\\046M")
OFFSETS: Final = (b"+0100", b"-2400", b"+9999", b"0100", b"+01:00", b"Z", b"UTC")
PERSONS: Final = (
    *(
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=",
        b"A^B^C^D^E^F^G",
        b"=",
        b"^",
        b"A\\B",
        b"Dr.\xe9",
        b"a" * 200,
    ),
    *("王^小东".encode(), "王^小东".encode("gbk"), b"\x1b)IABC", b"A=B=C=D=E", b"\x1b%/1A"),
)
FLOATS: Final = (0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e-300, 1e30, 3.4e38)
INTEGERS: Final = (0, 1, 2, 3, 7, 8, 10, 11, 12, 15, 16, 17, 24, 32, 64, 127, 128, 255, 256, 512, 8192, 32767, 32768)
EXTREMES: Final = (65535, -1, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1)

OF_VR: Final[dict[str, tuple[bytes, ...]]] = {
    "AS": AGES,
    "CS": CODES,
    "DA": DATES,
    "DT": (*DATES, *TIMES, b"20230101120000+2500", b"20230101120000.123456-0000", b"20230229120000"),
    "DS": NUMBERS,
    "IS": NUMBERS,
    "PN": PERSONS,
    "TM": TIMES,
    "UI": UIDS,
    "UR": (b"http://[", b"http://x y", b"javascript:1", b"file:///etc/passwd", b"\xff"),
}
FLOAT_FORMATS: Final = {"FL": "f", "OF": "f", "FD": "d", "OD": "d"}
INTEGER_FORMATS: Final = {
    "AT": "H",
    "OW": "H",
    "US": "H",
    "SS": "H",
    "UL": "L",
    "SL": "L",
    "OL": "L",
    "UV": "Q",
    "SV": "Q",
    "OV": "Q",
}
VRS: Final = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "OB", "OD", "OF", "OL", "OV", "OW", "PN"),
    *("SH", "SL", "SQ", "SS", "ST", "SV", "TM", "UC", "UI", "UL", "UN", "UR", "US", "UT", "UV"),
)
NO_VRS: Final = ("XX", "  ", "\0\0", "ct", "??", "\xff\xff", "-1")


def odd_value(vr: str, rng: random.Random) -> bytes:
    """A value for a representation: one of its own odd ones, any text, several of either, or bytes of no meaning."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.choice((1, 2, 3, 4, 7, 8, 64)))
    if vr in FLOAT_FORMATS:
        return b"".join(struct.pack(f"<{FLOAT_FORMATS[vr]}", rng.choice(FLOATS)) for _ in range(_count(rng)))
    if vr in INTEGER_FORMATS:
        return b"".join(_integer(INTEGER_FORMATS[vr], rng) for _ in range(_count(rng)))
    own = OF_VR.get(vr, TEXTS)
    values = [padded(rng.choice(own if rng.random() < 0.75 else TEXTS)) for _ in range(_count(rng))]
    return padded(b"\\".join(value.strip() for value in values) if len(values) > 1 else values[0])


def padded(value: bytes) -> bytes:
    """With a blank at the end where the number of bytes would be odd (PS3.5 6.2)."""
    return value + b" " * (len(value) % 2)


def _integer(kind: str, rng: random.Random) -> bytes:
    number = rng.choice(INTEGERS if rng.random() < 0.7 else EXTREMES)
    size = struct.calcsize(f"<{kind}")
    return (number & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _count(rng: random.Random) -> int:
    return rng.choice((1, 1, 1, 1, 1, 1, 2, 3, 0, 7)) or 1
