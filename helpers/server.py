"""What the course replaces in the server of JupyterLab: how files are read and written, and how kernels are started.

JupyterLab writes what the kernel says of its language, with the version of Python, into the metadata of a notebook.
Where they held anything else, it marks the notebook as changed the moment it is opened. So the language is filled in
when a file is read, and taken out again when it is written: what is on the disk is the same for every version.
"""

from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

LASTING = {"name": "python"}  # what stands in the files


class CourseContents(AsyncLargeFileManager):
    """The usual files, with the language of this kernel in the notebooks that are read."""

    async def get(self, path: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """A file or folder, as the base class gives it."""
        model = await super().get(path, *arguments, **options)
        if model["type"] == "notebook" and model["content"] is not None:
            from ipykernel.ipkernel import IPythonKernel  # slow to import, and not needed to start

            metadata = model["content"]["metadata"]
            if metadata.get("language_info") == LASTING:
                metadata["language_info"] = dict(IPythonKernel.language_info)
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Write a file; returns its model without the content, as the base class does."""
        if model.get("type") == "notebook" and model.get("content"):
            language = model["content"].get("metadata", {}).get("language_info", {})
            if language.get("name") == "python":
                model["content"]["metadata"]["language_info"] = dict(LASTING)
        return await super().save(model, path)


class CourseKernel(ServerKernelManager):
    """The usual kernel, which does not warn in the terminal, at each start, that it talks to us unencrypted."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command that starts it."""
        return super().format_kernel_cmd([*(extra_arguments or []), "--log-level=ERROR"])
