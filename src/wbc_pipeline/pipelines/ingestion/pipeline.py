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
    manifest, duplicates, recovery = (
        named(name) for name in ("manifest", "duplicates", "recovery")
    )
    options = "params:ingestion"
    return Pipeline(
        [
            step(nodes.list_images, [source, "params:sources"], listing),
            step(nodes.pack_images, [listing, options], images),
            step(nodes.find_duplicates, [source, listing, images, options], duplicates),
            step(nodes.recover_sources, [source, listing, images, options], recovery),
            step(
                nodes.build_manifest,
                {
                    "source": source,
                    "listing": listing,
                    "images": images,
                    "duplicates": duplicates,
                    "recovery": recovery,
                    "options": options,
                },
                manifest,
            ),
            step(
                nodes.list_boxes,
                [source, manifest, "params:sources"],
                [named("boxes"), named("rejects")],
            ),
        ],
        tags="ingestion",
    )
