"""From what a user points at to a rough mask: one interface, several segmenters behind it (`make_mask_maker`)."""
