"""natwatch: measures, from inside a customer's network, how long its NAT keeps a UDP binding."""

VERSION = "0.1.0"
