"""Words for the boxes on the way, English and Russian, in the form of diagnosis.texts."""

LAYERS = {
    "count": ("NATs on the way: %s", "NAT на пути: %s"),
    "boxes": ("Boxes that keep state: %s", "Устройств, хранящих привязки: %s"),
    "unknown": ("not known", "неизвестно"),
    "differ": ("the sources differ", "источники расходятся"),
    "exactly": ("%d", "%d"),
    "at least": ("at least %d", "не менее %d"),
    "at most": ("at most %d", "не более %d"),
    "router": ("router", "маршрутизатор"),
    "carrier": ("carrier's NAT", "NAT провайдера"),
    "outer": ("another NAT", "другой NAT"),
    "firewall": ("firewall", "межсетевой экран"),
    "hop": ("hop %s", "узел %s"),
    "hops": ("hop", "узел"),
    "box": ("box", "устройство"),
    "in s": (", s", ", с"),
    "outside": ("outer address", "внешний адрес"),
    "clear": ("no box that forgets within %.0f s", "забывающих раньше %.0f с нет"),
    "hidden": ("could not be known", "узнать не удалось"),
    "forgets": ("forgets after %s (%s)", "забывает через %s (%s)"),
    "keeps": ("keeps for %s (%s)", "хранит %s (%s)"),
    "first": ("forgets first", "забывает первым"),
    "equal": (
        "In state %s no box forgets before the others.",
        "В состоянии %s ни одно устройство не забывает раньше других.",
    ),
    "sources": ("How many there are, by each source:", "Сколько их, по каждому источнику:"),
    "reason": ("Not everything is known: %s", "Известно не всё: %s"),
}
SOURCES = {
    "timers": ("Timers", "Тайм-ауты"),
    "punch": ("Hole punching with a small TTL", "Пробивка NAT с малым TTL"),
    "addresses": ("Addresses", "Адреса"),
    "upnp": ("The router by UPnP", "Маршрутизатор по UPnP"),
    "nat_pmp": ("The router by NAT-PMP", "Маршрутизатор по NAT-PMP"),
    "pcp": ("The router by PCP", "Маршрутизатор по PCP"),
    "icmp": ("Addresses of the hops (ICMP)", "Адреса узлов (ICMP)"),
}
# Where several of these say the same it is told once.
PROTOCOLS = {"upnp": "UPnP", "nat_pmp": "NAT-PMP", "pcp": "PCP"}
# What diagnosis.sources has as the name of a piece of evidence.
EVIDENCE = {
    "timers": ("boxes with a timer at hop %(hops)s", "устройства с тайм-аутом, узел %(hops)s"),
    "timers differ": (
        "boxes with a timer at hop %(hops)s; the states differ: %(counts)s",
        "устройства с тайм-аутом, узел %(hops)s; состояния расходятся: %(counts)s",
    ),
    "punch": (
        "the outermost box that filters stands at hop %(hops)s",
        "самое дальнее устройство, которое фильтрует, — узел %(hops)s",
    ),
    "translated": (
        "%(local)s here is %(mapped)s at the reflector",
        "здесь %(local)s, на рефлекторе %(mapped)s",
    ),
    "not translated": (
        "%(local)s here is the same at the reflector",
        "здесь %(local)s, на рефлекторе то же",
    ),
    "equal": (
        "its outer address %(external)s is the one that the reflector sees",
        "его внешний адрес %(external)s видит и рефлектор",
    ),
    "inner": (
        "its outer address %(external)s is private, so another NAT is in front of it (the reflector"
        " sees %(mapped)s)",
        "его внешний адрес %(external)s частный, значит, перед ним ещё один NAT (рефлектор видит"
        " %(mapped)s)",
    ),
    "carrier": (
        "its outer address %(external)s is a carrier's shared one (RFC 6598), so the carrier's NAT"
        " is in front of it (the reflector sees %(mapped)s)",
        "его внешний адрес %(external)s из общей сети провайдера (RFC 6598), значит, перед ним NAT"
        " провайдера (рефлектор видит %(mapped)s)",
    ),
    "verify": (
        "its outer address %(external)s is public, but the reflector sees %(mapped)s: to be"
        " verified",
        "его внешний адрес %(external)s публичный, но рефлектор видит %(mapped)s: нужно проверить",
    ),
    "unknown": (
        "its outer address is %(external)s; what the reflector sees is not known",
        "его внешний адрес %(external)s; что видит рефлектор, неизвестно",
    ),
    "useless": (
        "its outer address %(external)s says nothing",
        "его внешний адрес %(external)s ни о чём не говорит",
    ),
    "no address": (
        "it tells no outer address: %(reason)s",
        "внешнего адреса не сообщает: %(reason)s",
    ),
    "hops": ("%(hops)s", "%(hops)s"),
    "hops shared": (
        "%(hops)s; addresses of 100.64/10 are a carrier's, with or without a NAT",
        "%(hops)s; адреса 100.64/10 принадлежат провайдеру, есть там NAT или нет",
    ),
}
