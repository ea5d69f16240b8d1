"""Where machines come from that nobody has bought yet: public clouds."""
