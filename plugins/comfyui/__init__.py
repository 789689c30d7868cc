"""mask2alpha for ComfyUI; the host calls `comfy_entrypoint`."""

from comfy_api.latest import ComfyExtension, io

from .nodes import NODES


class Mask2AlphaExtension(ComfyExtension):
    """The nodes of this folder."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """What the host shows in its menu."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """The extension, once, when the host starts."""
    return Mask2AlphaExtension()
