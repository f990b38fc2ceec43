"""A registrar as operators run it: Kamailio, as one configuration file.

Digest authentication, the location table in memory, NAT handling (a contact is kept with the
address and port that its REGISTER came from), and JSON-RPC over HTTP for the operator.
"""

from collections.abc import Mapping
from pathlib import Path

PROGRAM = "kamailio"
RPC_PORT = 5080
FLOW_TIMER = 25  # seconds; phones that do RFC 5626 send a keepalive after 80 to 100 % of them
RPC_URL = f"http://127.0.0.1:{RPC_PORT}/RPC"  # on the registrar's host only

# Nothing but our one question, as docs/operator.md tells operators to.
QUESTION = (
    r"""$rb =~ "^\\{\"jsonrpc\": \"2.0\", \"method\": \"ul.lookup\", """
    r'''\"params\": \\[\"location\", \"[^\"]*\"], \"id\": [0-9]+}$"'''
)

_TEMPLATE = """\
#!KAMAILIO
log_stderror=yes
children=2
tcp_children=2
disable_sctp=yes
dns=no
rev_dns=no
listen=udp:{address}:5060
listen=tcp:{address}:5060
listen=tcp:127.0.0.1:{rpc_port}
server_header="Server: kamailio"
tcp_accept_no_cl=yes

loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "sanity.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
loadmodule "htable.so"
loadmodule "auth.so"
loadmodule "stun.so"
loadmodule "xhttp.so"
loadmodule "jsonrpcs.so"

modparam("usrloc", "db_mode", 0)
modparam("usrloc", "timer_interval", 1)
modparam("registrar|nathelper", "received_avp", "$avp(received)")
modparam("registrar", "max_contacts", 10)
modparam("registrar", "min_expires", 5)
modparam("registrar", "max_expires", 3600)
modparam("auth", "algorithm", "{algorithm}")
modparam("htable", "htable", "users=>size=8;")
modparam("jsonrpcs", "transport", 1)

{users}
request_route {{
    force_rport();
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (!sanity_check()) {{ exit; }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (!is_method("REGISTER")) {{ sl_send_reply("405", "Method Not Allowed"); exit; }}
    if ($sht(users=>$au) == $null || !pv_www_authenticate("$td", "$sht(users=>$au)", "0")) {{
        www_challenge("$td", "1");
        exit;
    }}
    if ($au != $tU) {{ sl_send_reply("403", "Forbidden"); exit; }}
    if ($ct =~ "reg-id=") {{
        append_to_reply("Require: outbound\\r\\nFlow-Timer: {flow_timer}\\r\\n");
    }}
    fix_nated_register();
    if (!save("location")) {{ sl_reply_error(); }}
}}

event_route[xhttp:request] {{
    if ({question}) {{
        jsonrpc_dispatch();
    }} else {{
        xhttp_reply("403", "Forbidden", "text/plain", "ul.lookup only\\n");
    }}
}}
"""


def write(folder: Path, address: str, users: Mapping[str, str], algorithm: str) -> list[str]:
    """(Over)write the configuration in *folder*; the arguments that start Kamailio with it.

    It stays in the foreground. *users*: passwords by name. *algorithm*: MD5 or SHA-256.
    """
    folder.mkdir(exist_ok=True)
    configuration = folder / "kamailio.cfg"
    configuration.write_text(
        _TEMPLATE.format(
            address=address,
            rpc_port=RPC_PORT,
            algorithm=algorithm,
            flow_timer=FLOW_TIMER,
            question=QUESTION,
            users=_accounts(users),
        )
    )
    # -DD: no daemon, but with its workers; -m, -M: shared and private memory in MiB.
    return [
        *(PROGRAM, "-DD", "-E", "-f", str(configuration), "-Y", str(folder)),
        *("-P", str(folder / "kamailio.pid"), "-m", "32", "-M", "4"),
    ]


def _accounts(users: Mapping[str, str]) -> str:
    lines = [f'    $sht(users=>{user}) = "{password}";\n' for user, password in users.items()]
    return f"event_route[htable:mod-init] {{\n{''.join(lines)}}}\n" if lines else ""
