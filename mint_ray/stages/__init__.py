"""Pipeline stages on Ray Data and Ray Train, one file each."""
