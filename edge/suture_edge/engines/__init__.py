"""Engines that run heads on the unit's CPU, one file each, behind one small interface."""
