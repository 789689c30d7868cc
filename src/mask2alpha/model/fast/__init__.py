"""The functions of the stages, faster, for inference: same values to a stated tolerance. Start at optimise.py."""
