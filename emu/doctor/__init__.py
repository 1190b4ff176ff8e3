"""What this machine is, what emu needs of one, and what to install."""
