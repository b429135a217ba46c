"""Training and testing of candidates, saved so that a killed run goes on."""
