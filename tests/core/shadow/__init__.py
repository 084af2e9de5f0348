"""Tests of the shadow service's pure parts."""
