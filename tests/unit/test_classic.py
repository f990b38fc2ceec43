"""RFC 3489's names for our verdicts, and what is said where pystun3 says otherwise."""

from natwatch import port
from natwatch.diagnosis.classic import classic_name, difference, name_of_pystun3
from natwatch.port import classic

EIM = "endpoint-independent"
ADM = "address-dependent"
APDM = "address-and-port-dependent"

NAMES = (
    ("none", EIM, "Open Internet"),
    ("none", ADM, "Symmetric UDP Firewall"),
    ("none", APDM, "Symmetric UDP Firewall"),
    (EIM, EIM, "Full Cone"),
    (EIM, ADM, "Restricted Cone"),
    (EIM, APDM, "Port Restricted Cone"),
    (ADM, EIM, "Symmetric NAT"),
    (ADM, APDM, "Symmetric NAT"),
    (APDM, EIM, "Symmetric NAT"),
    (APDM, APDM, "Symmetric NAT"),
    (APDM, None, "Symmetric NAT"),
    (None, EIM, None),
    (None, None, None),
    ("none", None, None),
    (EIM, None, None),
)

# All that get_nat_type of pystun3 2.0.0 can return.
PYSTUN3 = (
    ("Blocked", "Blocked"),
    ("Open Internet", "Open Internet"),
    ("Full Cone", "Full Cone"),
    ("Symmetric UDP Firewall", "Symmetric UDP Firewall"),
    ("Restric NAT", "Restricted Cone"),
    ("Restric Port NAT", "Port Restricted Cone"),
    ("Symmetric NAT", "Symmetric NAT"),
    ("Meet an error, when do Test1 on Changed IP and Port", None),
)


def test_every_pair_of_verdicts_has_its_classic_name_or_none():
    for mapping, filtering, name in NAMES:
        assert classic_name(mapping, filtering) == name, (mapping, filtering)


def test_pystun3s_spellings_become_the_names_of_the_rfc_and_its_errors_become_none():
    for theirs, name in PYSTUN3:
        assert name_of_pystun3(theirs) == name, theirs


def test_agreement_and_ignorance_are_no_difference():
    for _, _, name in NAMES:
        assert difference(name, name) is None
        assert difference(name, None) is None
        assert difference(None, name) is None


def test_each_difference_names_both_verdicts_and_the_likely_cause():
    for ours, theirs, cause in (
        ("Port Restricted Cone", "Symmetric NAT", "another port"),
        ("Symmetric NAT", "Full Cone", "who may answer before"),
        ("Port Restricted Cone", "Full Cone", "where an answer comes from"),
        ("Full Cone", "Blocked", "four datagrams"),
        ("Full Cone", "Port Restricted Cone", "lost datagram"),
    ):
        sentence = difference(ours, theirs)
        assert ours in sentence and theirs in sentence and cause in sentence, sentence


def test_no_child_is_started_where_there_are_none():
    if port.interpreter == "micropython":
        assert classic.start(("127.0.0.1", 3478), "127.0.0.1", 0) is None
