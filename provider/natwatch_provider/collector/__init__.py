"""From the broker to the alert: subscribe, commit, acknowledge, and judge what came."""
