"""What the daemon is about, without the parts it runs on."""
