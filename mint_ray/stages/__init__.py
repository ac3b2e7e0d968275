"""Pipeline stages on Ray Data, Ray Train and Ray Tune, one module or folder each."""
