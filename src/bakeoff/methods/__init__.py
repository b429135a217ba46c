"""The methods, their registry and the contract that each fulfils."""
