"""Probe engines: one question, one file, no socket, no clock.

Every engine has the same calls; time is an int of milliseconds that is handed in, and a *flow*
is a number of the engine's own that stands for one UDP socket (a new number: a fresh port):

    start(now)                          begin
    receive(flow, data, source, now)    a datagram came; source is (address, port)
    notice(notice, now)                 something came over the control flow (see session)
    next_timer() -> int or None         when handle_timer wants to be called
    handle_timer(now)
    take_sends() -> list                (flow, bytes, (address, port)); bytes None closes the flow;
                                        an IP TTL as a fourth where the system's will not do
    take_results() -> list              what was found, dicts
    done                                True once nothing more will come
    stop(now)                           end before the end, without a result: nothing is left
                                        waiting, here or at the far end; sends may follow
    counters                            what came otherwise than it should, {name: number}

and may have

    opened(flow, port)                  the flow's socket was opened on this local port
    local_port(flow) -> int or None     which local port it must have; None: any that is fresh
    unsent(flow, error)                 the system refused to send (an errno): no NAT's fault
    progress(now) -> dict               for people who wait: see the engine
"""
