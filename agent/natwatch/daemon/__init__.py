"""What runs on the device all the time: the spool, the link to the broker, what is due when."""
