"""What leaves the machine: staged, checked for leaks, exported, uploaded, downloaded again and compared."""
