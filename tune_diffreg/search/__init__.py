"""Choosing among MANY: space, proposals, halving, trial, controller."""
