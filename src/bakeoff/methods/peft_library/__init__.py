"""Any other method of the installed PEFT, by PEFT's own modules."""
