"""Changes bytes as damage and malice do: bits, numbers in heads, pieces lost, doubled, exchanged or put in."""

import random
from collections.abc import Sequence

# Numbers at which a size, a count or an offset goes wrong.
NUMBERS = (0, 1, 2, 4, 7, 127, 128, 255, 256, 32767, 65535, 65536, 10**6, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
LARGE_NUMBERS = (2**33, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
# Pieces that mean something to one of the readers.
TOKENS = (
    *(
        b"\n",
        b",",
        b'"',
        b"'",
        b"\0",
        b"..",
        b"/",
        b"\\",
        b"~",
        b"[",
        b"]",
        b"{",
        b"}",
        b"nan",
        b"-1",
        b"1e999",
        b"null",
    ),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80"),  # of other letters than UTF-8's
    *(b": ", b"- ", b"&a ", b"*a", b"<<: ", b"!!", b"!!python/name:os.system", b"_BASE_: "),
    *(b"(", b".", b"b", b"h", b"e", b"u", b"R", b"Q", b"\x85", b"\x86", b"\x87", b"\x8e", b"\x93", b"\x94", b"\x96"),
    *(b"cos\nsystem\n", b"r\xff\xff\xff\x0f", b"PK\x03\x04", b"PK\x01\x02"),
    *(b"IDAT", b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"acTL", b"data", b"fmt ", b"LIST"),
    *(b"moov", b"mdat", b"stts", b"stsz", b"stco", b"stsd", b"elst", b"mp4a", b"avc1"),
)


def mutate(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """`data` with one to four changes; pieces of `others` may get into it."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(CHANGES)(changed, others, rng)
    return bytes(changed)


def flip_bit(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def set_number(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """As heads hold them: of one, two, four or eight bytes, the lowest or the highest first."""
    length = rng.choice((1, 2, 4, 4, 8))
    start = rng.randrange(max(1, len(data) - length + 1))
    number = rng.choice(NUMBERS + LARGE_NUMBERS) % (1 << 8 * length)
    data[start : start + length] = number.to_bytes(length, rng.choice(("little", "big")))


def set_digits(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """Another number in a text, where there is one."""
    places = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
    if places:
        start = stop = rng.choice(places)
        while stop < len(data) and chr(data[stop]).isdigit():
            stop += 1
        data[start:stop] = str(rng.choice(NUMBERS + LARGE_NUMBERS)).encode()


def cut_off(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def remove(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, stop = stretch(data, rng)
    del data[start:stop]


def repeat(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, stop = stretch(data, rng)
    data[stop:stop] = data[start:stop] * rng.choice((1, 1, 2, 50))


def move(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, stop = stretch(data, rng)
    moved = data[start:stop]
    del data[start:stop]
    place = rng.randrange(len(data) + 1)
    data[place:place] = moved


def splice(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    start, stop = stretch(other, rng)
    place = rng.randrange(len(data) + 1)
    data[place : place + rng.choice((0, stop - start))] = other[start:stop]


def put_in(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place = rng.randrange(len(data) + 1)
    token = rng.choice(TOKENS)
    data[place : place + rng.choice((0, len(token)))] = token * rng.choice((1, 1, 1, 2000))


def noise(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, stop = stretch(data, rng)
    data[start:stop] = rng.randbytes(stop - start)


def stretch(data: bytes | bytearray, rng: random.Random) -> tuple[int, int]:
    """Begin and end of a piece: short ones more often than long ones."""
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + int(2 ** rng.uniform(0, 10)))


CHANGES = (
    *(flip_bit, flip_bit, set_number, set_number, set_number, set_digits),
    *(cut_off, remove, repeat, move, splice, put_in, noise),
)
