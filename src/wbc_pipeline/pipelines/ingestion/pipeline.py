"""Raw files to one manifest and one array."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.ingestion import nodes


def create_pipeline(role: str = "") -> Pipeline:
    """List the raw images, decode them once, and say what each shows or why it was refused.

    Parameters
    ----------
    role
        Of a second data set: what stands before the names of its datasets.
    """

    def named(name: str) -> str:
        return f"{role}_{name}" if role else name

    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace=named("ingestion"))

    source, listing, images = (named(name) for name in ("source", "listing", "images"))
    described, rejects, manifest = (named(name) for name in ("described", "rejects", "manifest"))
    duplicates, recovery = named("duplicates"), named("recovery")
    options = "params:ingestion"
    return Pipeline(
        [
            step(nodes.list_images, [source, "params:sources"], listing),
            step(nodes.pack_images, [listing, options], images),
            step(nodes.describe_images, [listing, images], described),
            step(
                nodes.list_boxes, [source, described, "params:sources"], [named("boxes"), rejects]
            ),
            step(nodes.find_duplicates, [source, listing, images, options], duplicates),
            step(nodes.recover_sources, [source, listing, images, options], recovery),
            step(
                nodes.build_manifest,
                {
                    "source": source,
                    "described": described,
                    "rejects": rejects,
                    "duplicates": duplicates,
                    "recovery": recovery,
                    "options": options,
                },
                manifest,
            ),
        ],
        tags="ingestion",
    )
