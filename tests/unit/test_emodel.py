"""R and MOS against G.107's published figures and a second, separately written E-model."""

from math import exp, log, sqrt

from natwatch.probes.emodel import mos, rating

CODECS = {"g711": (0.0, 25.1), "g729": (11.0, 19.0)}  # G.113, appendix I: Ie, Bpl


def lg(value):
    return log(value) / log(10)


def root(value, degree):
    return exp(log(value) / degree)


def reference(ta, ppl, codec, burst_ratio):
    """R, equation by equation in the order and with the symbols of G.107, clause 7."""
    SLR, RLR, LSTR, STMR, Ds = 8.0, 2.0, 18.0, 15.0, 3.0
    TELR, WEPL, Nc, Nfor, Ps, Pr = 65.0, 110.0, -70.0, -64.0, 35.0, 35.0
    T, Ta, Tr = ta, ta, 2.0 * ta
    OLR = SLR + RLR
    Nos = Ps - SLR - Ds - 100 + 0.004 * (Ps - OLR - Ds - 14) ** 2
    Pre = Pr + 10 * lg(1 + 10 ** ((10 - LSTR) / 10))
    Nor = RLR - 121 + Pre + 0.008 * (Pre - 35) ** 2
    Nfo = Nfor + RLR
    No = 10 * lg(10 ** (Nc / 10) + 10 ** (Nos / 10) + 10 ** (Nor / 10) + 10 ** (Nfo / 10))
    Ro = 15 - 1.5 * (SLR + No)

    Xolr = OLR + 0.2 * (64 + No - RLR)
    Iolr = 20 * (root(1 + (Xolr / 8) ** 8, 8) - Xolr / 8)
    STMRo = -10 * lg(10 ** (-STMR / 10) + exp(-T / 4) * 10 ** (-TELR / 10))
    Ist = 12 * root(1 + ((STMRo - 13) / 6) ** 8, 8)
    Ist -= 28 * root(1 + ((STMRo + 1) / 19.4) ** 35, 35)
    Ist -= 13 * root(1 + ((STMRo - 3) / 33) ** 13, 13)
    Ist += 29
    Q = 37.0  # one quantizing unit
    G = 1.07 + 0.258 * Q + 0.0602 * Q**2
    Iq = 15 * lg(1 + 10 ** ((Ro - 100) / 15 + 46 / 8.4 - G / 9) + 10 ** (46 / 30 - G / 40))
    Is = Iolr + Ist + Iq

    Idte = 0.0
    if T >= 1:
        TERV = TELR - 40 * lg((1 + T / 10) / (1 + T / 150)) + 6 * exp(-0.3 * T**2)
        Roe, Re = -1.5 * (No - RLR), 80 + 2.5 * (TERV - 14)
        Idte = ((Roe - Re) / 2 + sqrt((Roe - Re) ** 2 / 4 + 100) - 1) * (1 - exp(-T))
    Rle = 10.5 * (WEPL + 7) / sqrt(sqrt(Tr + 1))
    Idle = (Ro - Rle) / 2 + sqrt((Ro - Rle) ** 2 / 4 + 169)
    Idd = 0.0
    if Ta > 100:
        X = lg(Ta / 100) / lg(2)
        Idd = 25 * (root(1 + X**6, 6) - 3 * root(1 + (X / 3) ** 6, 6) + 2)

    Ie, Bpl = CODECS[codec]
    return Ro - Is - (Idte + Idle + Idd) - (Ie + (95 - Ie) * ppl / (ppl / burst_ratio + Bpl))


def reference_mos(r):
    if r < 0:
        return 1.0
    return max(1.0, min(4.5, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7 / 1000000))


def test_a_perfect_line_has_the_published_default_of_93_2():
    assert abs(rating(0, 0, "g711") - 93.2) < 0.05, rating(0, 0, "g711")
    assert abs(rating(0, 0, "g711") - rating(0, 0, "g729") - 11) < 1e-9


def test_the_score_is_that_of_the_published_table():
    for r, score in ((90, 4.34), (80, 4.02), (70, 3.60), (60, 3.10), (50, 2.58)):
        assert abs(mos(r) - score) < 0.006, (r, mos(r))
    assert mos(0) == mos(-20) == 1 and mos(100) == mos(120) == 4.5
    assert mos(4) == mos(6) == 1  # where the formula alone would say 0.98


def test_every_delay_and_loss_agrees_with_the_reference():
    for codec in ("g711", "g729"):
        for delay in range(0, 501, 20):
            for tenths in (0, 1, 5, 10, 20, 35, 50, 100, 150, 200):
                for burst_ratio in (1, 1.5, 3):
                    point = (delay, tenths / 10, codec, burst_ratio)
                    found, expected = rating(*point), reference(*point)
                    assert abs(found - expected) < 0.0001, (point, found, expected)
                    assert abs(mos(found) - reference_mos(expected)) < 0.05, point


def test_it_falls_with_delay_loss_and_bursts_and_never_leaves_its_range():
    for codec in ("g711", "g729"):
        for worse in (
            [(delay, 1, codec) for delay in range(0, 1000, 50)],
            [(150, loss, codec) for loss in range(0, 101, 5)],
            [(150, 5, codec, ratio) for ratio in (1, 2, 4, 8)],
        ):
            scores = [mos(rating(*point)) for point in worse]
            assert scores == sorted(scores, reverse=True), scores
            assert scores[-1] >= 1 and scores[0] <= 4.5
