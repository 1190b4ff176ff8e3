"""From the record of a run to what is known of it: plain values, without asking the system."""
