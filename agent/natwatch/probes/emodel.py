"""How a call sounds: the E-model of ITU-T G.107 (06/2015), from delay and loss to R and MOS.

Every parameter that is not an argument has G.107's default; section numbers are G.107's. Codecs:
G.113, appendix I. The echo takes the talker's path and back (T = Ta, Tr = 2 Ta), as in G.107's own
figures; the advantage factor A is 0.
"""

import math

# Name -> (Ie, Bpl): impairment without loss, and robustness against it. G.711 with concealment.
CODECS = {"g711": (0, 25.1), "g729": (11, 19)}

_SLR, _RLR, _STMR, _LSTR = 8, 2, 15, 18  # dB: loudness ratings, side tone
_DS, _PS, _PR = 3, 35, 35  # room noise at both ends, dB(A), and the sender's D factor
_NC, _NFOR = -70, -64  # dBm0p: circuit noise, noise floor at the receiver
_TELR, _WEPL, _QDU = 65, 110, 1  # echo of the talker and of the listener, dB; quantization


def rating(delay, loss_percent, codec, burst_ratio=1):
    """R of one direction: *delay* mouth to ear in ms, *loss_percent* 0–100, *codec* of CODECS.

    *burst_ratio* (BurstR) is 1 where losses are random, more where they come in bursts.
    """
    ie, bpl = CODECS[codec]
    lossy = ie + (95 - ie) * loss_percent / (loss_percent / burst_ratio + bpl)
    return _RO - _simultaneous(delay) - _delayed(delay) - lossy


def mos(r):
    """The mean opinion score (1 to 4.5) of a rating (annex B), which below R = 6.5 would fall
    under 1."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _log10(value):
    return math.log(value) / math.log(10)  # some builds of MicroPython have no log10


def _noise():
    """No, dBm0p: the power of all noise sources together (7.2)."""
    olr = _SLR + _RLR
    send = _PS - _SLR - _DS - 100 + 0.004 * (_PS - olr - _DS - 14) ** 2
    room = _PR + 10 * _log10(1 + 10 ** ((10 - _LSTR) / 10))
    receive = _RLR - 121 + room + 0.008 * (room - 35) ** 2
    sources = (_NC, send, receive, _NFOR + _RLR)
    return 10 * _log10(sum([10 ** (level / 10) for level in sources]))


_NO = _noise()
_RO = 15 - 1.5 * (_SLR + _NO)


def _simultaneous(delay):
    """Is: what comes with the voice, too loud, side tone and quantization (7.3)."""
    x = (_SLR + _RLR + 0.2 * (64 + _NO - _RLR)) / 8
    loud = 20 * ((1 + x**8) ** (1 / 8) - x)
    q = 37 - 15 * _log10(_QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (_RO - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return loud + _side_tone(delay) + 15 * _log10(1 + 10**y + 10**z)


def _side_tone(delay):
    echo = math.exp(-delay / 4) * 10 ** (-_TELR / 10)
    stmr = -10 * _log10(10 ** (-_STMR / 10) + echo)
    return (
        12 * (1 + ((stmr - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((stmr + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((stmr - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )


def _delayed(delay):
    """Id: the talker's echo, the listener's echo, and too long an absolute delay (7.4)."""
    listener = _RO - 10.5 * (_WEPL + 7) * (2 * delay + 1) ** -0.25
    echo = listener / 2 + (listener * listener / 4 + 169) ** 0.5
    return _talker_echo(delay) + echo + _too_late(delay)


def _talker_echo(delay):
    if delay < 1:
        return 0
    level = _TELR - 40 * _log10((1 + delay / 10) / (1 + delay / 150))
    level += 6 * math.exp(-0.3 * delay * delay)
    gap = -1.5 * (_NO - _RLR) - (80 + 2.5 * (level - 14))
    return (gap / 2 + (gap * gap / 4 + 100) ** 0.5 - 1) * (1 - math.exp(-delay))


def _too_late(delay):
    if delay <= 100:
        return 0
    x = math.log(delay / 100) / math.log(2)
    return 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
