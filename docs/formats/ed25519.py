"""Ed25519 signatures (RFC 8032) and the verifiable random function over the same curve (RFC 9381), verification only.

Python and nothing else; slow, and short enough to be read.
"""
import hashlib

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
IDENTITY = (0, 1, 1, 0)


def sha512(*parts):
    return hashlib.sha512(b"".join(parts)).digest()


# Points are in extended coordinates.
def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def mul(n, p):
    out = IDENTITY
    while n:
        out, p, n = (add(out, p) if n & 1 else out), add(p, p), n >> 1
    return out


def encode(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point of 32 bytes; none where RFC 8032, 5.1.3 decodes none."""
    value = int.from_bytes(data, "little")
    y, sign = value & (1 << 255) - 1, value >> 255
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    r, a, s = decode(signature[:32]), decode(key), int.from_bytes(signature[32:], "little")
    if r is None or a is None or s >= L or len(signature) != 64:
        return False
    k = int.from_bytes(sha512(signature[:32], key, message), "little") % L
    return encode(mul(s, BASE)) == encode(add(r, mul(k, a)))


def vrf_output(key, message, proof):
    """What a proof of ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381) shows to be the output for a message."""
    gamma, c, s = decode(proof[:32]), int.from_bytes(proof[32:48], "little"), int.from_bytes(proof[48:], "little")
    y = decode(key)
    if not (len(proof) == 80 and gamma and y and s < L and encode(mul(8, y)) != encode(IDENTITY)):
        raise ValueError("no VRF proof")
    for count in range(256):
        h = decode(sha512(b"\x03\x01", key, message, bytes([count, 0]))[:32])
        h = h and mul(8, h)
        if h and encode(h) != encode(IDENTITY):
            break
    u, v = (add(mul(s, p), mul(c, (P - q[0], q[1], q[2], P - q[3]))) for p, q in ((BASE, y), (h, gamma)))
    points = b"".join(map(encode, (h, gamma, u, v)))
    if sha512(b"\x03\x02", key, points, b"\0")[:16] != proof[32:48]:
        raise ValueError("the VRF proof does not hold")
    return sha512(b"\x03\x03", encode(mul(8, gamma)), b"\0")
