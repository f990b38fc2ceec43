"""What a registrar may answer, and what is made of it."""

from nats import PORT_DEPENDENT, Nat
from sip_registrar import MISBEHAVIOURS, Registrar
from world import World

from natwatch.probes.registration import Registration
from natwatch.wire import digest

HOST = "198.51.100.5"
ENDPOINT = (HOST, 5060)
PASSWORD = 'Circle, of "Life"'
ACCOUNT = {
    "registrar": "sip.operator.example",
    "user": "74951234567",
    "password": PASSWORD,
    "domain": "operator.example",
}
OPEN = "74950000000"


class _Server:
    """The registrar in the simulated line, answering from *origin*."""

    def __init__(self, world, registrar, origin):
        self.world = world
        self.registrar = registrar
        self.origin = origin
        self.sources = set()

    def receive(self, data, source, local, now):
        assert local == ENDPOINT
        self.sources.add(source)
        for answer in self.registrar.receive(data, source, now // 1000):
            self.world.to_device(answer, self.origin or local, source)


def ask(registrar=None, account=ACCOUNT, not_before=None, loss=0, seed=1, origin=None):
    """(result, engine, registrar) of one run behind a NAT."""
    registrar = registrar or Registrar({ACCOUNT["user"]: PASSWORD})
    world = World(Nat(30000, 120000, PORT_DEPENDENT, PORT_DEPENDENT, seed), loss, seed)
    if origin is not None:
        world.nat.filtering = "endpoint-independent"
    server = _Server(world, registrar, origin)
    world.servers[HOST] = server
    engine = Registration(list(ENDPOINT), account, world.random, not_before)
    world.add(engine)
    world.run(world.now + 60000, lambda: engine.done)
    world.remove(engine)
    assert engine.done and engine.next_timer() is None
    assert world.inner == {}, "the socket is closed"
    results = engine.take_results()
    assert len(results) == 1 and len(server.sources) <= 1, results
    return results[0], engine, registrar


def state(registrar=None, **options):
    result, engine, _ = ask(registrar, **options)
    register = result["register"]
    if register["state"] != "ok":
        assert result["reason"] and result["bindings"] is None, result
    assert engine.failed is (register["state"] == "wrong password")
    return register["state"], register["status"], register["algorithm"]


def made(**switches):
    registrar = Registrar({ACCOUNT["user"]: PASSWORD})
    for name in switches:
        assert hasattr(registrar, name), name
        setattr(registrar, name, switches[name])
    return registrar


def methods(registrar):
    return [method for method, _ in registrar.requests]


def with_credentials(registrar):
    names = ("authorization", "proxy-authorization")
    return len([m for _, m in registrar.requests if m.get(names[0]) or m.get(names[1])])


def test_an_account_that_works_is_ok_with_the_bindings_that_the_registrar_holds():
    registrar = made()
    registrar.locations[ACCOUNT["user"]] = {
        "sip:a@192.168.1.20:5062;line=a,b": (300, "sip:203.0.113.9:40000"),
        "sip:b@[2001:db8::1]": (60, "sip:203.0.113.10:40001"),
    }
    result, engine, _ = ask(registrar)
    assert result["registrar"] == list(ENDPOINT) and result["reason"] is None, result
    options = result["options"]
    assert (options["status"], options["agent"], options["rtt"]) == (200, "lab registrar 1.0", 20)
    register = result["register"]
    assert (register["state"], register["status"], register["algorithm"]) == ("ok", 200, "MD5")
    one, other = result["bindings"]
    assert one == {
        "contact": "sip:a@192.168.1.20:5062;line=a,b",
        "address": "192.168.1.20",
        "port": 5062,
        "expires": 299,
        "received": "203.0.113.9",
    }, one
    assert (other["address"], other["port"], other["expires"]) == ("2001:db8::1", 5060, 59)
    assert methods(registrar) == ["OPTIONS", "REGISTER", "REGISTER"]
    assert 0 < result["seconds"] < 1 and 1000 < result["bytes"] == engine.bytes
    assert engine.counters == {}


def test_nothing_that_is_sent_could_change_a_registration():
    registrar = ask()[2]
    for method, message in registrar.requests:
        assert method in ("OPTIONS", "REGISTER")
        assert message.get("contact") is None and message.get("expires") is None
        assert ";rport" in message.get("via")
        assert "sip:74951234567@operator.example" in message.get("to")
    numbers = [int(message.get("cseq").split(" ")[0]) for _, message in registrar.requests]
    assert numbers == [1, 2, 3]
    calls = set([message.get("call-id") for _, message in registrar.requests])
    assert len(calls) == 1
    assert not hasattr(Registration, "local_port"), "any port that is fresh, never 5060"


def test_an_account_that_holds_nothing_is_told_apart_from_one_that_is_unknown():
    assert ask()[0]["bindings"] == []
    assert ask(made(silent={"REGISTER"}))[0]["bindings"] is None


def test_every_way_of_asking_for_a_digest_is_answered():
    for algorithms, qop, used in (
        (("MD5",), "auth", "MD5"),
        (("MD5",), None, "MD5"),
        (("MD5",), "auth-int,auth", "MD5"),
        (("SHA-256",), "auth", "SHA-256"),
        (("SHA-256",), None, "SHA-256"),
        (("SHA-256", "MD5"), "auth", "SHA-256"),
        (("MD5", "SHA-256"), "auth", "SHA-256"),
        (("MD5-SESS", "MD5"), "auth", "MD5"),
    ):
        for joined in (False, True):
            registrar = made(algorithms=algorithms, qop=qop, joined=joined)
            if qop == "auth-int,auth":
                registrar.qop = qop
            assert state(registrar) == ("ok", 200, used), (algorithms, qop, joined)


def test_a_proxy_that_asks_as_well_is_answered_as_well():
    registrar = made(proxy=True)
    assert state(registrar) == ("ok", 200, "MD5")
    assert with_credentials(registrar) == 2
    last = registrar.requests[-1][1]
    # The proxy's nonce is used again, the registrar's for the first time.
    assert "nc=00000002" in last.get("proxy-authorization")
    assert "nc=00000001" in last.get("authorization")


def test_an_account_without_password_at_the_registrar_is_ok():
    assert state(Registrar({})) == ("ok", 200, None)


def test_a_domain_that_is_not_given_is_the_registrars_name():
    registrar = ask(account=dict(ACCOUNT, domain=None))[2]
    assert registrar.requests[-1][1].start == "REGISTER sip:sip.operator.example SIP/2.0"


def test_a_wrong_password_is_tried_once():
    for switches in ({}, {"algorithms": ("SHA-256",)}, {"qop": None}):
        registrar = made(**switches)
        found = state(registrar, account=dict(ACCOUNT, password="else"))
        assert found[:2] == ("wrong password", 401), found
        assert with_credentials(registrar) == 1
    registrar = made(proxy=True)
    assert state(registrar, account=dict(ACCOUNT, password="else"))[:2] == ("wrong password", 407)
    assert with_credentials(registrar) == 1
    forbidden = made(answers={"REGISTER": (403, [])})
    assert state(forbidden) == ("wrong password", 403, "MD5")
    unknown = made(users={"somebody": "else"})
    assert state(unknown)[:2] == ("wrong password", 401)


def test_forbidden_before_any_password_was_sent_says_nothing_of_the_password():
    registrar = Registrar({})
    registrar.answers["REGISTER"] = (403, [])
    assert state(registrar) == ("refused", 403, None)


def test_other_refusals_are_told_with_their_status():
    for status in (404, 423, 480, 500, 503, 603):
        assert state(made(answers={"REGISTER": (status, [])})) == ("refused", status, "MD5")


def test_a_redirect_is_told_and_not_followed():
    headers = ["Contact: <sip:192.0.2.77:5070>;q=0.5"]
    registrar = Registrar({})
    registrar.answers["REGISTER"] = (302, headers)
    result, _, _ = ask(registrar)
    register = result["register"]
    assert (register["state"], register["status"]) == ("redirected", 302)
    assert register["contact"] == "sip:192.0.2.77:5070" in result["reason"], result
    assert methods(registrar) == ["OPTIONS", "REGISTER"]
    registrar.answers["REGISTER"] = (305, [])
    assert ask(registrar)[0]["register"]["contact"] is None


def test_stale_nonces_are_replaced_but_not_for_ever():
    for stale in (1, 2, 3):
        registrar = made(stale=stale)
        assert state(registrar) == ("ok", 200, "MD5"), stale
        assert with_credentials(registrar) == stale + 1
    registrar = made(always_stale=True)
    assert state(registrar) == ("challenged forever", 401, "MD5")
    assert with_credentials(registrar) == 4


def test_what_we_cannot_compute_is_unsupported_and_named():
    for switches in (
        {"algorithms": ("SHA-512-256",)},
        {"algorithms": ("MD5-sess",)},
        {"qop": "auth-int"},
        {"scheme": "Basic"},
        {"algorithms": ()},
    ):
        registrar = made(**switches)
        result, engine, _ = ask(registrar)
        assert result["register"]["state"] == "unsupported", (switches, result)
        assert with_credentials(registrar) == 0 and not engine.failed
        for name in switches.get("algorithms", ()):
            assert name.upper() in result["reason"], result


def test_an_interpreter_without_md5_says_so_and_takes_sha_256():
    md5 = digest.HASHES.pop("MD5")
    try:
        assert state(made())[0] == "unsupported"
        assert state(made(algorithms=("MD5", "SHA-256"))) == ("ok", 200, "SHA-256")
    finally:
        digest.HASHES["MD5"] = md5


def test_silence_is_decided_in_eight_seconds_a_request():
    result, _, registrar = ask(made(silent={"OPTIONS", "REGISTER"}))
    assert result["options"] == {"status": None, "agent": None, "rtt": None}
    assert result["register"]["state"] == "no answer" and result["bindings"] is None
    assert 14 < result["seconds"] < 16 and methods(registrar).count("REGISTER") == 4
    assert "no answer to OPTIONS" in result["reason"] and "to REGISTER" in result["reason"]
    result, _, _ = ask(made(silent={"OPTIONS"}), account=dict(ACCOUNT, password=None))
    assert 7 < result["seconds"] < 8


def test_a_registrar_that_ignores_options_is_asked_to_register_all_the_same():
    result, _, _ = ask(made(silent={"OPTIONS"}))
    assert result["options"]["status"] is None and result["register"]["state"] == "ok", result
    assert "OPTIONS" in result["reason"]


def test_any_answer_to_options_proves_life():
    for status in (200, 302, 401, 404, 405, 483, 500, 603):
        registrar = made(answers={"OPTIONS": (status, ["User-Agent: some"])})
        options = ask(registrar, account=dict(ACCOUNT, password=None))[0]["options"]
        assert (options["status"], options["agent"]) == (status, "some")


def test_a_provisional_answer_is_waited_out():
    assert state(made(provisional=True)) == ("ok", 200, "MD5")
    trying = made(answers={"OPTIONS": (100, []), "REGISTER": (100, [])}, users={})
    result, _, registrar = ask(trying)
    assert result["options"]["status"] == 100 and result["options"]["rtt"] == 20
    assert (result["register"]["state"], result["register"]["status"]) == ("no answer", 100)
    assert methods(registrar).count("REGISTER") == 2, "every 4 s only"


def test_without_a_password_or_in_the_hour_only_options_is_asked():
    result, engine, registrar = ask(account=dict(ACCOUNT, password=None))
    assert result["register"]["state"] == "not asked" and "no password" in result["reason"]
    assert methods(registrar) == ["OPTIONS"] and not engine.failed
    result, _, registrar = ask(not_before=1000 + 59 * 60000)
    assert result["register"]["state"] == "resting" and " 59 min" in result["reason"], result
    assert methods(registrar) == ["OPTIONS"] and result["options"]["status"] == 200
    assert state(not_before=1000) == ("ok", 200, "MD5")


def test_loss_repeats_requests_and_never_makes_a_wrong_password():
    seen = set()
    for seed in range(1, 120):
        result, engine, _ = ask(made(once=seed % 2 == 0), loss=250, seed=seed)
        assert not engine.failed, seed
        seen.add(result["register"]["state"])
        if result["options"]["rtt"] is not None:
            assert result["options"]["rtt"] == 20, "no time from a repeated request"
    assert seen <= {"ok", "no answer"} and "ok" in seen, seen


def test_a_wrong_password_on_a_lossy_line_is_sent_few_times_and_never_ok():
    sent, seen = 0, []
    for seed in range(1, 60):
        result, _, registrar = ask(account=dict(ACCOUNT, password="else"), loss=50, seed=seed)
        sent += with_credentials(registrar)
        seen.append(result["register"]["state"])
    assert set(seen) == {"wrong password"}, seen
    assert sent < 80, "one each, and a few that had to be repeated"


def test_answers_that_are_no_answers_are_counted_and_not_believed():
    for name in MISBEHAVIOURS:
        result, engine, _ = ask(made(mangle=MISBEHAVIOURS[name]))
        if name in ("folded", "followed"):
            assert result["register"]["state"] == "ok" and not engine.counters, (name, result)
            continue
        assert result["options"]["status"] is None, (name, result)
        assert result["register"]["state"] == "no answer", (name, result)
        assert result["bindings"] is None and not engine.failed, name
        assert sum(engine.counters.values()) >= 8, (name, engine.counters)


def test_an_answer_from_elsewhere_is_named_and_not_believed():
    for origin in ((HOST, 5070), ("198.51.100.6", 5060)):
        result, engine, _ = ask(origin=origin)
        assert result["options"]["status"] is None, result
        assert result["register"]["state"] == "no answer"
        assert "%s:%d answered" % origin in result["reason"], result
        assert engine.counters == {"stray": 8}


def test_a_late_answer_to_the_first_register_is_no_second_refusal():
    registrar = made()
    world = World(Nat(30000, 120000, PORT_DEPENDENT, PORT_DEPENDENT))
    server = _Server(world, registrar, None)
    once = server.receive

    def twice(data, source, local, now):
        once(data, source, local, now)
        # A copy of each answer that comes after the next request has gone out.
        for answer in registrar.receive(data, source, now // 1000)[:1]:
            world.at(now + 15, world.to_device, answer, local, source)

    server.receive = twice
    world.servers[HOST] = server
    registrar._right = lambda credentials: credentials is not None
    engine = Registration(ENDPOINT, ACCOUNT, world.random)
    world.add(engine)
    world.run(world.now + 60000, lambda: engine.done)
    assert engine.take_results()[0]["register"]["state"] == "ok"
    assert engine.counters.get("unexpected"), engine.counters


def test_a_refusal_to_send_is_told_and_stop_ends_it_in_the_middle():
    engine = Registration(ENDPOINT, ACCOUNT, bytes)
    engine.start(0)
    engine.unsent(1, 101)
    for now in range(0, 20000, 500):
        engine.handle_timer(now)
        engine.unsent(1, 101)
    assert "error 101" in engine.take_results()[0]["reason"]
    engine = Registration(ENDPOINT, ACCOUNT, bytes)
    engine.start(0)
    engine.stop(10)
    assert engine.done and engine.take_results() == [] and engine.next_timer() is None
    assert engine.take_sends()[-1] == (1, None, ENDPOINT)
    engine.receive(1, b"late", ENDPOINT, 20)
    engine.stop(30)
    assert engine.take_sends() == []
