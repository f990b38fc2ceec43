"""Findings and advice in words, English and Russian. The codes are those of findings.CODES."""

LANGUAGES = ("en", "ru")

VERDICTS = {
    "ready": ("READY for telephony", "ГОТОВО к телефонии"),
    "findings": ("NOT READY: something needs attention", "НЕ ГОТОВО: есть, что исправить"),
    "unknown": ("UNKNOWN: too little could be measured", "НЕ ОПРЕДЕЛЕНО: измерено слишком мало"),
}
STATES = {
    "met": ("met", "выполнено"),
    "not met": ("NOT MET", "НЕ ВЫПОЛНЕНО"),
    "noted": ("no fault, see the note", "не мешает, см. примечание"),
    "not measured": ("not measured", "не измерено"),
}
REQUIREMENTS = {
    "R0": ("the line's quality", "качество линии"),
    "R1": ("inbound UDP from the operator", "входящий UDP от оператора"),
    "R2": ("outbound UDP to the operator's ports", "исходящий UDP на порты оператора"),
    "R3": ("a private inner address behind NAT", "внутренний адрес за NAT"),
    "R4": ("local ports", "локальные порты"),
    "R5": ("no SIP ALG in the way", "отсутствие SIP ALG"),
    "R6": ("keepalive and the NAT's timeout", "keepalive и тайм-аут NAT"),
    "R7": ("registration at the server", "регистрация на сервере"),
    "R8": ("forwarding of the operator's traffic", "проброс трафика оператора"),
    "R9": ("SIP account", "учётная запись SIP"),
}
FINDINGS = {
    "line.loss": (
        "Packets are lost: %(out)s %% of a voice stream on the way out, %(in)s %% on the way in;"
        " %(requests)s %% of %(tries)d requests or their answers.",
        "Теряются пакеты: %(out)s %% голосового потока наружу, %(in)s %% внутрь; %(requests)s %%"
        " из %(tries)d запросов или ответов.",
    ),
    "line.delay": (
        "Packets take long: %(rtt)s ms there and back, and wait in queues for up to %(queues)s ms.",
        "Большая задержка: %(rtt)s мс туда и обратно, ожидание в очередях до %(queues)s мс.",
    ),
    "line.jitter": (
        "Voice packets come unevenly: jitter %(jitter)s ms.",
        "Голосовые пакеты приходят неравномерно: джиттер %(jitter)s мс.",
    ),
    "voice.poor": (
        "A call would sound poor: MOS (G.711, of 4.4) %(mos)s.",
        "Качество разговора будет плохим: MOS (G.711, не более 4.4) %(mos)s.",
    ),
    "line.fragments": (
        "Datagrams that need fragments do not pass (%(ways)s; the largest that did: %(largest)s"
        " bytes). A call whose INVITE is longer fails, although the phone is registered.",
        "Фрагментированные пакеты не проходят (%(ways)s; наибольший прошедший: %(largest)s байт)."
        " Вызовы с более длинным INVITE не пройдут, хотя телефон зарегистрирован.",
    ),
    "nat.filtering.inbound": (
        "From ports that were never contacted nothing comes in (%(filtering)s filtering). A plain"
        " NAT does so; it is no fault where the NAT keeps its bindings.",
        "С портов, к которым не обращались, ничего не приходит (фильтрация %(filtering)s)."
        " Обычный NAT так и делает; это не ошибка, если привязки сохраняются.",
    ),
    "reach.blocked.sip": (
        "The SIP port is blocked: %(blocked)s. Phones cannot register.",
        "Порт SIP заблокирован: %(blocked)s. Телефоны не смогут зарегистрироваться.",
    ),
    "reach.blocked.stun": (
        "Ports for finding the NAT type are blocked: %(blocked)s.",
        "Порты для определения типа NAT заблокированы: %(blocked)s.",
    ),
    "reach.blocked.rtp": (
        "Ports for voice (RTP) are blocked: %(blocked)s (%(open)d of %(asked)d asked are open)."
        " Calls on these have no sound.",
        "Порты для голоса (RTP) заблокированы: %(blocked)s (открыто %(open)d из %(asked)d"
        " проверенных). На них в разговоре не будет звука.",
    ),
    "reach.blocked.address": (
        "Nothing answers at %(address)s, while the operator's other address does: part of the"
        " operator's network is blocked.",
        "Адрес %(address)s не отвечает, а другой адрес оператора отвечает: часть сети оператора"
        " заблокирована.",
    ),
    "address.outside": (
        "The local address %(address)s (%(kind)s) is none of those that the operator requires.",
        "Локальный адрес %(address)s (%(kind)s) не из тех, что требует оператор.",
    ),
    "adapter.outside": (
        "The phone's address %(address)s (%(kind)s) is none of those that the operator requires.",
        "Адрес телефона %(address)s (%(kind)s) не из тех, что требует оператор.",
    ),
    "adapter.elsewhere": (
        "The phone %(address)s is not on the probe's network segment: what the probe measures may"
        " not be what the phone has.",
        "Телефон %(address)s не в том же сегменте сети, что зонд: измерения зонда могут не"
        " относиться к телефону.",
    ),
    "adapter.silent": (
        "The phone does not answer at %(address)s port %(port)d. Some answer nobody but the"
        " operator's server.",
        "Телефон не отвечает по адресу %(address)s, порт %(port)d. Некоторые отвечают только"
        " серверу оператора.",
    ),
    "nat.none": (
        "There is no NAT: %(address)s is the public address itself.",
        "NAT отсутствует: %(address)s — это и есть публичный адрес.",
    ),
    "nat.ports.changed": (
        "The NAT changes port numbers (%(kept)d of %(of)d kept).",
        "NAT меняет номера портов (сохранено %(kept)d из %(of)d).",
    ),
    "nat.mapping.dependent": (
        "The NAT gives each destination another port (%(mapping)s mapping: symmetric).",
        "NAT выделяет для каждого адресата свой порт (отображение %(mapping)s: симметричный).",
    ),
    "sip.alg.rewrites": (
        "A router on the way rewrites SIP (SIP ALG): %(changes)s.",
        "Маршрутизатор на пути переписывает SIP (SIP ALG): %(changes)s.",
    ),
    "sip.alg.drops": (
        "A router on the way drops SIP messages while other packets to that port pass:"
        " %(methods)s.",
        "Маршрутизатор на пути отбрасывает сообщения SIP, а другие пакеты на тот же порт"
        " пропускает: %(methods)s.",
    ),
    "sip.alg.answers": (
        "A router on the way spoils the server's answers to SIP (SIP ALG): %(changes)s"
        " %(dropped)s.",
        "Маршрутизатор на пути портит ответы сервера SIP (SIP ALG): %(changes)s %(dropped)s.",
    ),
    "sip.differs": (
        "SIP on port 5060 is treated otherwise than other packets: %(text)s.",
        "С SIP на порту 5060 обращаются иначе, чем с другими пакетами: %(text)s.",
    ),
    "sip.alg.timer": (
        "Bindings to the SIP port live for %(sip)s s, to another port for %(other)s s: the sign of"
        " a SIP ALG in a router.",
        "Привязки к порту SIP живут %(sip)s с, к другому порту %(other)s с: признак SIP ALG в"
        " маршрутизаторе.",
    ),
    "nat.binding.short": (
        "The NAT forgets the phone after %(lo)s s of silence, before the usual keepalive of"
        " %(usual)d s comes (%(least)d to %(most)d s are possible). Between keepalives incoming"
        " calls do not arrive.",
        "NAT забывает телефон через %(lo)s с тишины, раньше, чем придёт обычный keepalive (раз в"
        " %(usual)d с; допустимо от %(least)d до %(most)d с). Между пакетами keepalive входящие"
        " вызовы не проходят.",
    ),
    "nat.binding.forwarded": (
        "The NAT forgets the phone after %(lo)s s of silence, before the usual keepalive of"
        " %(usual)d s comes; but the router forwards the SIP port to the phone, and calls come in"
        " by that.",
        "NAT забывает телефон через %(lo)s с тишины, раньше, чем придёт обычный keepalive (раз в"
        " %(usual)d с); но порт SIP проброшен на телефон, и вызовы проходят через проброс.",
    ),
    "nat.binding.thin": (
        "The NAT keeps a binding for %(lo)s s. A keepalive every %(interval)d s holds it; one lost"
        " packet loses it.",
        "NAT хранит привязку %(lo)s с. Keepalive каждые %(interval)d с удержит её, но при"
        " потере одного пакета она пропадёт.",
    ),
    "layers.router.short": (
        "It is the customer's side that forgets too soon: %(box)s after %(lifetime)s"
        " (%(state)s)%(others)s.",
        "Слишком рано забывает сторона клиента: %(box)s через %(lifetime)s (%(state)s)%(others)s.",
    ),
    "layers.carrier.short": (
        "It is the access provider's side that forgets too soon: %(box)s after %(lifetime)s"
        " (%(state)s)%(others)s.",
        "Слишком рано забывает сторона провайдера доступа: %(box)s через %(lifetime)s"
        " (%(state)s)%(others)s.",
    ),
    "layers.outer.short": (
        "It is not the first router that forgets too soon: %(box)s after %(lifetime)s"
        " (%(state)s)%(others)s. Nobody can tell from here whether it is the access provider's or"
        " another router of the customer's.",
        "Слишком рано забывает не первый маршрутизатор: %(box)s через %(lifetime)s"
        " (%(state)s)%(others)s. Провайдера он или клиента, отсюда не видно.",
    ),
    "layers.shorter": (
        "Of several boxes that keep state the first to forget is this: %(box)s after %(lifetime)s"
        " (%(state)s)%(others)s.",
        "Из нескольких устройств, хранящих привязки, первым забывает %(box)s через %(lifetime)s"
        " (%(state)s)%(others)s.",
    ),
    "layers.several": (
        "NATs in a row: %(count)s. A forward on the customer's router alone does not help; in front"
        " of it: %(outer)s.",
        "NAT подряд: %(count)s. Одного проброса на маршрутизаторе клиента мало: перед ним"
        " %(outer)s.",
    ),
    "layers.disagree": (
        "How many NATs there are is not certain, since the sources differ: %(evidence)s.",
        "Сколько здесь NAT, точно сказать нельзя, источники расходятся: %(evidence)s.",
    ),
    "keepalive.lost": (
        "Some kinds of keepalive do not arrive as sent: %(kinds)s.",
        "Некоторые виды keepalive не доходят в исходном виде: %(kinds)s.",
    ),
    "sip.unregistered": (
        "The operator's server holds no registration for this account: no call can come in.",
        "На сервере оператора нет регистрации этой учётной записи: входящие вызовы невозможны.",
    ),
    "sip.registered.elsewhere": (
        "The account is registered, but not from this line (%(public)s): %(bindings)s.",
        "Учётная запись зарегистрирована, но не с этой линии (%(public)s): %(bindings)s.",
    ),
    "forward.works": (
        "The phone itself answers at %(public)s port %(port)d from outside: a forward is there.",
        "Снаружи телефон отвечает по адресу %(public)s, порт %(port)d: проброс настроен.",
    ),
    "forward.none": (
        "Nothing answers at %(public)s port %(port)d from outside: there is no forward to the"
        " phone. None is needed where the keepalive holds the binding.",
        "Снаружи по адресу %(public)s, порт %(port)d, никто не отвечает: проброса на телефон нет."
        " Он не нужен, если keepalive удерживает привязку.",
    ),
    "forward.missing": (
        "Nothing answers at %(public)s port %(port)d from outside: no forward leads to the phone,"
        " and only one would carry calls here. A forward on one of two NATs does not help.",
        "Снаружи по адресу %(public)s, порт %(port)d, никто не отвечает: проброса на телефон нет, а"
        " без него вызовы не пройдут. Проброс только на одном из двух NAT не поможет.",
    ),
    "forward.unproven": (
        "Something answers at %(public)s port %(port)d from outside; whether a forward leads to"
        " this phone is not known.",
        "Снаружи по адресу %(public)s, порт %(port)d, кто-то отвечает; ведёт ли проброс на этот"
        " телефон, неизвестно.",
    ),
    "forward.other": (
        "At %(public)s port %(port)d answers another device than the phone: %(agent)s.",
        "По адресу %(public)s, порт %(port)d, отвечает не телефон, а другое устройство: %(agent)s.",
    ),
    "dns.wrong": (
        "The name %(name)s leads to %(outside)s, which is not the operator's (resolver"
        " %(resolver)s).",
        "Имя %(name)s ведёт на %(outside)s, это не адрес оператора (сервер DNS %(resolver)s).",
    ),
    "dns.none": (
        "The name %(name)s has no address (resolver %(resolver)s: %(state)s).",
        "У имени %(name)s нет адреса (сервер DNS %(resolver)s: %(state)s).",
    ),
    "dns.silent": (
        "No resolver answers when asked for %(name)s.",
        "Ни один сервер DNS не отвечает на запрос имени %(name)s.",
    ),
    "sip.registrar.silent": (
        "The registrar %(registrar)s does not answer.",
        "Сервер регистрации %(registrar)s не отвечает.",
    ),
    "sip.account.refused": (
        "The registrar refuses the account's user or password%(status)s%(resting)s.",
        "Сервер регистрации не принимает имя или пароль учётной записи%(status)s%(resting)s.",
    ),
    "sip.account.failed": (
        "The registrar does not take the account: %(state)s%(status)s.",
        "Сервер регистрации не принимает учётную запись: %(state)s%(status)s.",
    ),
    "router.timer.differs": (
        "This router is set to keep a binding for %(configured)d s (%(state)s), but %(measured)s s"
        " were measured: another box on the way decides (a carrier's NAT), or a rule for that"
        " port.",
        "Этот маршрутизатор настроен хранить привязку %(configured)d с (%(state)s), а измерено"
        " %(measured)s с: решает другое устройство на пути (NAT провайдера) или правило для этого"
        " порта.",
    ),
    "router.timer.outlived": (
        "This router is set to keep a binding for %(configured)d s (%(state)s), but %(measured)s s"
        " were measured: its firewall lets the probe's packets in without a binding, or a rule for"
        " that port decides. How long a phone behind it is remembered was not measured.",
        "Этот маршрутизатор настроен хранить привязку %(configured)d с (%(state)s), а измерено"
        " %(measured)s с: его межсетевой экран пропускает пакеты зонда и без привязки, или решает"
        " правило для этого порта. Сколько он помнит телефон за ним, не измерено.",
    ),
    "router.helper.sip": (
        "This router's kernel has its SIP helper (SIP ALG) loaded. It is configured, not measured:"
        " the probe's own packets need not meet it, a phone's do.",
        "В ядре этого маршрутизатора загружен модуль SIP (SIP ALG). Так настроено, это не"
        " измерение: пакеты самого зонда могут идти мимо него, пакеты телефона — нет.",
    ),
    "router.forward": (
        "This router is set to forward port %(port)d to %(to)s port %(to_port)d.",
        "На этом маршрутизаторе настроен проброс порта %(port)d на %(to)s, порт %(to_port)d.",
    ),
}
ADVICE = {
    "register": (
        "Check the registration: user, password and server in the phone, then restart it.",
        "Проверьте регистрацию: имя, пароль и сервер в телефоне, затем перезапустите его.",
    ),
    "account": (
        "Compare user, password and registrar in this box's configuration with the phone's.",
        "Сверьте имя, пароль и сервер в настройках зонда с настройками телефона.",
    ),
    "server": (
        "Call the operator's support: its server does not answer.",
        "Обратитесь в службу поддержки оператора: его сервер не отвечает.",
    ),
    "address": (
        "Put the phone behind the router's NAT, with an inner address that the operator allows.",
        "Подключите телефон за NAT маршрутизатора, с внутренним адресом, допустимым у оператора.",
    ),
    "segment": (
        "Connect the probe and the phone to the same router or switch.",
        "Подключите зонд и телефон к одному маршрутизатору или коммутатору.",
    ),
    "forward wrong": (
        "Correct the forward in the router: it leads to another device than the phone.",
        "Исправьте проброс в маршрутизаторе: он ведёт не на телефон.",
    ),
    "resolver": (
        "Set the phone's DNS to resolvers that know the operator's name.",
        "Укажите в телефоне серверы DNS, которые знают имя оператора.",
    ),
    "keepalive on": (
        "Switch the keepalive of the phone or adapter on.",
        "Включите keepalive в телефоне или адаптере.",
    ),
    "firewall": (
        "Let outbound UDP to the operator's network through in the router's firewall, ports"
        " %(ports)s.",
        "Разрешите в межсетевом экране маршрутизатора исходящий UDP к сети оператора, порты"
        " %(ports)s.",
    ),
    "keepalive": (
        "Let it send every %(interval)d s or sooner.",
        "Интервал keepalive: не более %(interval)d с.",
    ),
    "expires": (
        "No keepalive holds the binding: set Register Expires to %(expires)d s.",
        "Keepalive не удержит привязку: установите Register Expires равным %(expires)d с.",
    ),
    "router timer": (
        "Raise the UDP timeout in the customer's router to 120 s or more (RFC 4787), update or"
        " replace it: %(box)s forgets after %(lifetime)s%(others)s.",
        "Увеличьте тайм-аут UDP в маршрутизаторе клиента до 120 с или больше (RFC 4787), обновите"
        " или замените его: %(box)s забывает через %(lifetime)s%(others)s.",
    ),
    "carrier timer": (
        "Leave the customer's router as it is and tell the access provider: %(box)s forgets after"
        " %(lifetime)s%(others)s. RFC 4787 wants at least 120 s.",
        "Маршрутизатор клиента менять не нужно, обратитесь к провайдеру доступа: %(box)s забывает"
        " через %(lifetime)s%(others)s. RFC 4787 требует не менее 120 с.",
    ),
    "carrier timer too": (
        "That alone does not help. Tell the access provider as well: %(box)s forgets after"
        " %(lifetime)s%(others)s. RFC 4787 wants at least 120 s.",
        "Одного этого мало. Обратитесь и к провайдеру доступа: %(box)s забывает через"
        " %(lifetime)s%(others)s. RFC 4787 требует не менее 120 с.",
    ),
    "outer timer": (
        "See whether a second router of the customer's stands in front of the first. If so raise"
        " its UDP timeout or take it out, if not tell the access provider: %(box)s forgets after"
        " %(lifetime)s%(others)s.",
        "Проверьте, нет ли у клиента второго маршрутизатора перед первым. Если есть, увеличьте его"
        " тайм-аут UDP или уберите его, если нет, обратитесь к провайдеру доступа: %(box)s"
        " забывает через %(lifetime)s%(others)s.",
    ),
    "forwarding one": (
        "As a last resort forward the SIP port in use to the phone.",
        "В крайнем случае пробросьте используемый порт SIP на телефон.",
    ),
    "forwarding carrier": (
        "Forwarding on the customer's router alone will not help: the carrier's NAT is in front of"
        " it. As a last resort have the access provider give the line a public address, then"
        " forward the SIP port in use to the phone.",
        "Проброс только на маршрутизаторе клиента не поможет: перед ним NAT провайдера. В крайнем"
        " случае попросите у провайдера доступа публичный («белый») адрес, затем пробросьте"
        " используемый порт SIP на телефон.",
    ),
    "forwarding outer": (
        "Forwarding on the customer's router alone will not help: another NAT is in front of it. As"
        " a last resort forward the SIP port in use in both, or ask the access provider for a"
        " public address if the outer one is the provider's.",
        "Проброс только на маршрутизаторе клиента не поможет: перед ним ещё один NAT. В крайнем"
        " случае пробросьте используемый порт SIP на обоих или попросите публичный («белый») адрес,"
        " если дальний NAT принадлежит провайдеру доступа.",
    ),
    "forward all carrier": (
        "If the NAT still misbehaves with the SIP server, forward all traffic from the operator's"
        " network to the phone. That too needs a public address of the line's own. Then check"
        " again: the report must say forward.works.",
        "Если NAT всё же мешает работе с сервером SIP, пробросьте на телефон весь трафик из сети"
        " оператора. Для этого линии тоже нужен собственный публичный адрес. Затем повторите"
        " проверку: в отчёте должно быть forward.works.",
    ),
    "forward all several": (
        "If the NAT still misbehaves with the SIP server, all traffic from the operator's network"
        " must be forwarded to the phone in every NAT on the way. Then check again: the report must"
        " say forward.works.",
        "Если NAT всё же мешает работе с сервером SIP, весь трафик из сети оператора нужно"
        " пробросить на телефон на каждом NAT по пути. Затем повторите проверку: в отчёте должно"
        " быть forward.works.",
    ),
    "forwarding": (
        "As a last resort forward the SIP port in use to the phone; behind two NATs in both.",
        "В крайнем случае пробросьте используемый порт SIP на телефон; за двумя NAT — на обоих.",
    ),
    "forward all": (
        "If the NAT still misbehaves with the SIP server, forward all traffic from the operator's"
        " network to the phone. Then check again: the report must say forward.works.",
        "Если NAT всё же мешает работе с сервером SIP, пробросьте на телефон весь трафик из сети"
        " оператора. Затем повторите проверку: в отчёте должно быть forward.works.",
    ),
    "line": (
        "Have the access provider mend the line, or keep other traffic from filling it (QoS).",
        "Обратитесь к провайдеру доступа или ограничьте другой трафик на линии (QoS).",
    ),
    "codecs": (
        "Let fragments through in the router, or switch codecs off in the phone until an INVITE"
        " fits into 1,400 bytes.",
        "Разрешите фрагменты в маршрутизаторе или отключите лишние кодеки в телефоне, чтобы INVITE"
        " умещался в 1400 байт.",
    ),
    "alg": (
        "Switch the SIP ALG of the router off.",
        "Отключите SIP ALG в маршрутизаторе.",
    ),
}
# What evidence has as a word: states of a name and of an account, kinds of address.
TERMS = {
    "no such name": ("no such name", "такого имени нет"),
    "no address": ("no address", "адрес не указан"),
    "refused": ("refused", "отказ"),
    "redirected": ("redirected", "перенаправление на другой сервер"),
    "unsupported": ("unsupported", "способ проверки пароля не поддерживается"),
    "challenged forever": ("challenged forever", "пароль запрашивается снова и снова"),
    "no answer": ("no answer", "нет ответа"),
    "carrier": ("carrier's NAT", "NAT провайдера"),
    "link-local": ("link-local: no DHCP server", "link-local: нет сервера DHCP"),
    "loopback": ("loopback", "loopback"),
    "public": ("public", "публичный"),
}
LEFT_OUT = {
    "ports": ("most voice ports (%(asked)d asked)", "большинство портов RTP (проверено %(asked)d)"),
    "lifetimes": ("lifetimes above %(seconds)d s", "тайм-ауты больше %(seconds)d с"),
    "layers": ("which box on the way forgets", "какое из устройств на пути забывает"),
    "reflector": (
        "all that needs the reflector: %(trouble)s",
        "всё, для чего нужен рефлектор: %(trouble)s",
    ),
}
FACTS = {
    "keepalive": (
        "A keepalive every %d s or sooner holds the binding",
        "Keepalive каждые %d с или чаще удержит привязку",
    ),
    "no nat": ("NAT: none", "NAT: нет"),
    "public": ("Public address: %(mapped)s", "Публичный адрес: %(mapped)s"),
    "nat": (
        "NAT: %(mapping)s mapping, %(filtering)s filtering",
        "NAT: отображение %(mapping)s, фильтрация %(filtering)s",
    ),
    "lifetimes": ("Bindings live, s: %s", "Привязки живут, с: %s"),
    "ports": (
        "Voice ports: %(open)d of %(asked)d asked are open",
        "Порты RTP: открыто %(open)d из %(asked)d проверенных",
    ),
    "voice out": (
        "Voice, outward: %(loss)s %% lost, jitter %(jitter).1f ms, MOS %(g711).2f (G.711),"
        " %(g729).2f (G.729)",
        "Голос от абонента: потери %(loss)s %%, джиттер %(jitter).1f мс, MOS %(g711).2f (G.711),"
        " %(g729).2f (G.729)",
    ),
    "voice in": (
        "Voice, inward: %(loss)s %% lost, jitter %(jitter).1f ms, MOS %(g711).2f (G.711),"
        " %(g729).2f (G.729)",
        "Голос к абоненту: потери %(loss)s %%, джиттер %(jitter).1f мс, MOS %(g711).2f (G.711),"
        " %(g729).2f (G.729)",
    ),
    "registered": (
        "The operator's server holds %(contact)s",
        "На сервере оператора: %(contact)s",
    ),
    "registered until": (
        "The operator's server holds %(contact)s for %(expires)s s more",
        "На сервере оператора: %(contact)s, ещё %(expires)s с",
    ),
    "router": (
        "The probe is the router itself: this was measured of the router's own line, with packets"
        " that its rules for phones do not meet",
        "Зонд — сам маршрутизатор: измерена его собственная линия, правила для телефонов на эти"
        " пакеты не действуют",
    ),
    "configured timers": (
        "Configured in this router's kernel, s: %(timers)s; beside measured (udp/sip): %(beside)s",
        "Настроено в ядре этого маршрутизатора, с: %(timers)s; измерено (udp/sip): %(beside)s",
    ),
    "configured helper": (
        "Configured in this router's kernel: a SIP helper",
        "Настроено в ядре этого маршрутизатора: модуль SIP",
    ),
    "no helper": (
        "Configured in this router's kernel: no SIP helper in use",
        "Настроено в ядре этого маршрутизатора: модуль SIP не используется",
    ),
    "configured forwards": (
        "Configured in this router, forwards of UDP: %s",
        "Настроено в этом маршрутизаторе, пробросы UDP: %s",
    ),
    "no forwards": (
        "Configured in this router: no forwards of UDP",
        "Настроено в этом маршрутизаторе: пробросов UDP нет",
    ),
}
WORDS = {
    "measured": ("Measured:", "Измерено:"),
    "clock unset": ("clock not set", "часы не установлены"),
    "quick": ("quick check", "быстрая проверка"),
    "full": ("full check", "полная проверка"),
    "s": (" s", " с"),
    "check": ("natwatch check for %s", "Проверка natwatch для %s"),
    "what to do": ("What to do:", "Что сделать:"),
    "found": ("What was found", "Что найдено"),
    "requirements": ("The operator's requirements", "Требования оператора"),
    "path": ("The path", "Путь"),
    "lifetimes": ("How long bindings live", "Время жизни привязок"),
    "keepalives": ("keepalives of %d to %d s", "keepalive от %d до %d с"),
    "place phone": ("phone and probe", "телефон и зонд"),
    "place router": ("router, NAT", "маршрутизатор, NAT"),
    "place line": ("access line", "линия доступа"),
    "place operator": ("operator", "оператор"),
    "way out": ("outward", "наружу"),
    "way in": ("inward", "внутрь"),
    "no resolver": ("none asked", "не спрашивали"),
    "left out": ("Left out: %s", "Пропущено: %s"),
    "resting": (
        " (seen within the last hour; not tried again before it is over)",
        " (так было в течение последнего часа; до его конца повторной попытки не будет)",
    ),
    "cut short": (
        "The check was cut short; this is what it had.",
        "Проверка прервана; ниже то, что успели измерить.",
    ),
    "support": ("Support: %(phone)s, %(mail)s", "Служба поддержки: %(phone)s, %(mail)s"),
}


def say(table, name, language, values=None):
    """The text *name* of *table* in *language*, one of LANGUAGES, with *values* put in."""
    text = table[name][LANGUAGES.index(language)]
    return text if values is None else text % values


def bracket_text(lifetime):
    """29.6-30.3 of a lifetime's bracket; at least so much where nothing died."""
    lo, hi = lifetime["lo"], lifetime["hi"]
    return "≥ %.1f" % lo if hi is None else "%.1f-%.1f" % (lo, hi)
