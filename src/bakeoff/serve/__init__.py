"""Every method of a study behind one address, in one running batch."""
