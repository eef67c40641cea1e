"""The files of the course as JupyterLab sees them: a notebook that is opened is not at once "changed".

JupyterLab writes what the kernel says of its language, with the version of Python, into the metadata of a notebook.
Where they held anything else, it marks the notebook as changed. So the language is filled in when a file is read, and
taken out again when it is written: what is on the disk is the same for every version.
"""

from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

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
