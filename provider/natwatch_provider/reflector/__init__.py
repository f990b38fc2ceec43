"""The far end of every probe: plain STUN for strangers, holds and audits for our devices."""
