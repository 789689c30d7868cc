"""Run by Nuke when its window opens: puts mask2alpha among the nodes."""

import mask2alpha_nuke
import nuke

nuke.menu("Nodes").addCommand("Keyer/mask2alpha", mask2alpha_nuke.create)
