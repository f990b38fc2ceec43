"""The configuration: what is wrong is told in one sentence that names the field."""

from natwatch import cli, config, document

GOOD = {
    "device": "nw-000001",
    "reflector": {"address": "192.0.2.1", "key": "0f" * 32},
    "brokers": [{"host": "192.0.2.2", "server_name": "mqtt.example"}],
    "tls": {"ca": "ca.pem", "certificate": "box.pem", "key": "box.key"},
}


def changed(path, value):
    """GOOD with the field at *path* replaced, or removed where *value* is None."""
    copy = {name: GOOD[name] for name in GOOD}
    target = copy
    for step in path[:-1]:
        target[step] = {name: target[step][name] for name in target[step]}
        target = target[step]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return copy


def test_a_good_configuration_is_completed_with_defaults():
    found = config.check(GOOD)
    assert found["budget"] == {
        "bindings": 64,
        "bytes_per_day": 5000000,
        "packets_per_second": 200,
    }
    assert found["search_limit_s"] == 600
    assert found["watch"] == [["udp/sip", "stream"], ["udp/sip", "replied"]]
    assert found["brokers"][0]["port"] == 8883
    assert found["spool"] is None
    assert config.check(changed(["spool"], {"path": "x"}))["spool"] == {
        "path": "x",
        "bytes": 4194304,
        "flush_s": 300,
        "bytes_per_day": 30000000,
    }
    plain = changed(["tls"], None)
    plain["tls"] = None
    assert config.check(plain)["tls"] is None
    assert config.check(changed(["brokers"], None))["brokers"] == []


def test_each_mistake_names_field_expectation_and_finding():
    for path, value, words in (
        (["device"], None, ("device", "found nothing")),
        (["device"], "a/b", ("device", "A-Z", "a/b")),
        (["device"], 7, ("device", "found 7")),
        (["colour"], "red", ("colour", "unknown", "device")),
        (["reflector"], None, ("reflector", "found nothing")),
        (["reflector"], "192.0.2.1", ("reflector", "object")),
        (["reflector", "address"], "reflector.example", ("reflector.address", "IPv4")),
        (["reflector", "address"], "1.2.3.256", ("reflector.address", "1.2.3.256")),
        (["reflector", "address"], "1..2.3", ("reflector.address", "1..2.3")),
        (["reflector", "key"], "0f", ("reflector.key", "64 hex digits")),
        (["reflector", "key"], "zz" * 32, ("reflector.key", "64 hex digits")),
        (["reflector", "port"], 1, ("reflector.port", "unknown")),
        (["budget"], {"bindings": True}, ("budget.bindings", "integer", "True")),
        (["budget"], {"bindings": 1}, ("budget.bindings", "32")),
        (["budget"], {"bytes_per_day": -1}, ("budget.bytes_per_day", "-1")),
        (["brokers"], {}, ("brokers", "list")),
        (["brokers"], ["x"], ("brokers[0]", "object")),
        (["brokers"], [{"port": 1}], ("brokers[0].host", "found nothing")),
        (["brokers"], [{"host": "192.0.2.2", "port": 0}], ("brokers[0].port", "65535")),
        (["tls", "ca"], None, ("tls.ca", "PEM")),
        (["watch"], [["udp/sip"]], ("watch", "udp/stun", "oneway")),
        (["watch"], [["tcp", "stream"]], ("watch", "tcp")),
        (["watch"], [], ("watch", "[]")),
        (["watch"], [[["x"], "stream"]], ("watch", "class")),
        (["watch"], [[{}, "stream"]], ("watch", "class")),
        (["watch"], [["udp/sip", "stream"], ["udp/sip", "stream"]], ("watch", "once")),
        (["brokers"], [{"host": "mqtt.example"}], ("brokers[0].host", "numeric")),
        (["tls"], None, ("tls", "null", "found nothing")),
        (["adapter"], {}, ("adapter.address", "found nothing")),
        (["adapter"], {"address": "192.168.1.30", "port": 0}, ("adapter.port", "65535")),
        (["spool"], {}, ("spool.path", "found nothing")),
        (["spool"], {"path": "x", "bytes": 1}, ("spool.bytes", "65536")),
        (["spool"], {"path": "x", "flush_s": 0}, ("spool.flush_s", "seconds")),
        (["account"], {"registrar": "sip.example"}, ("account.user", "found nothing")),
        (["account"], {"registrar": "a b", "user": "x"}, ("account.registrar", "name")),
        (["account"], {"registrar": "a..b", "user": "x"}, ("account.registrar", "name")),
        (["account"], {"registrar": "a", "user": "x\r\nY: z"}, ("account.user", "blanks")),
        (["resolvers"], [], ("resolvers", "addresses")),
        (["resolvers"], ["ns.example"], ("resolvers", "addresses")),
        (["reflector", "address"], "1.2.3.\xb2", ("reflector.address", "IPv4")),
        (["reflector", "address"], "1.2.3." + "1" * 5000, ("reflector.address", "IPv4")),
        (["search_limit_s"], "600", ("search_limit_s", "seconds", "'600'")),
    ):
        try:
            config.check(changed(path, value))
        except config.ConfigError as error:
            for word in words:
                assert word in str(error), (path, value, str(error))
        else:
            raise AssertionError("accepted: %s = %r" % (path, value))


def test_a_value_that_is_no_object_is_refused():
    for value in (None, 5, "x", [1]):
        try:
            config.check(value)
        except config.ConfigError as error:
            assert "expected an object" in str(error)
        else:
            raise AssertionError(value)


def test_the_command_line_refuses_what_it_does_not_know():
    known = {"--config": None, "--json": False}
    assert cli.options(["--config", "x", "--json"], known) == {"--config": "x", "--json": True}
    for arguments, words in (
        (["--colour"], "unknown option --colour"),
        (["--config"], "expected a value"),
        (["config"], "unknown option config"),
    ):
        try:
            cli.options(arguments, known)
        except cli.UsageError as error:
            assert words in str(error), str(error)
        else:
            raise AssertionError(arguments)


def test_a_file_that_ends_in_the_middle_is_refused_on_either_interpreter():
    for text, complete in (
        ('{"a": [1, {"b": "]}"}]}', True),
        ('{"a": "\\"}"}', True),
        ('{"a": 1', False),
        ('{"a": [1, 2]', False),
        ('{"a": "x', False),
    ):
        assert document.complete(text) == complete, text


def test_what_is_known_of_the_customers_line_is_optional():
    found = config.check(changed(["adapter"], {"address": "192.168.1.30"}))
    assert found["adapter"] == {"address": "192.168.1.30", "port": 5060}
    assert found["account"] is None and found["profile"] is None and found["resolvers"] is None
    account = {"registrar": "7495.operator.example", "user": "7495"}
    found = config.check(changed(["account"], account))["account"]
    assert found["password"] is None and found["domain"] is None and found["port"] == 5060


def test_what_no_dictionary_takes_and_no_register_request_carries_is_refused():
    for field, value in (
        ("resident", {"keepalive": []}),
        ("resident", {"keepalive": {}}),
        ("account", {"registrar": "\u212a.example", "user": "7495"}),
        ("account", {"registrar": "operator.example", "user": "7495\x7f"}),
        ("account", {"registrar": "operator.example", "user": "7495", "password": "\x1b"}),
    ):
        try:
            config.check(changed([field], value))
        except config.ConfigError as error:
            assert field in str(error), str(error)
        else:
            raise AssertionError(value)
